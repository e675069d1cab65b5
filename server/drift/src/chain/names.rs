//! Names of agents and enforcement points, each held once.

/// Names by number.
#[derive(Debug, Clone, Default)]
pub struct Names {
    names: Vec<Box<str>>,
}

impl Names {
    /// The number of a name; the same for the same name. The empty name is number 0, as is any beyond 65,535.
    pub fn number(&mut self, name: &str) -> u16 {
        if name.is_empty() {
            return 0;
        }
        // Chains have few names: a search is quicker than a map, and smaller.
        let place = self.names.iter().position(|n| **n == *name).unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        u16::try_from(place + 1).unwrap_or(0)
    }

    /// The name of a number.
    pub fn name(&self, number: u16) -> &str {
        let place = usize::from(number).checked_sub(1);
        place.and_then(|p| self.names.get(p)).map_or("", |n| n)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.names.capacity() * size_of::<Box<str>>() + self.names.iter().map(|n| n.len()).sum::<usize>()
    }
}
