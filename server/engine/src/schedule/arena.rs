//! Places that are used again, under keys that never are.

/// Names one entry for ever: after it is removed, its key finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    serial: u64,
    slot: usize,
}

impl Key {
    /// Finds nothing anywhere.
    pub fn none() -> Self {
        Self { serial: 0, slot: usize::MAX }
    }
}

/// Entries by key, in constant time.
#[derive(Debug)]
pub struct Arena<T> {
    slots: Vec<Option<(u64, T)>>,
    free: Vec<usize>,
    serial: u64,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), serial: 0 }
    }
}

impl<T> Arena<T> {
    /// Adds an entry.
    pub fn insert(&mut self, value: T) -> Key {
        self.serial += 1;
        let entry = Some((self.serial, value));
        let slot = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(place) => *place = entry,
            None => self.slots.push(entry),
        }
        Key { serial: self.serial, slot }
    }

    /// An entry, if it is still there.
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.slot) {
            Some(Some((serial, value))) if *serial == key.serial => Some(value),
            _ => None,
        }
    }

    /// The same, to change.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.slot) {
            Some(Some((serial, value))) if *serial == key.serial => Some(value),
            _ => None,
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.slots.get_mut(key.slot)?;
        if place.as_ref().is_none_or(|(serial, _)| *serial != key.serial) {
            return None;
        }
        self.free.push(key.slot);
        place.take().map(|(_, value)| value)
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| {
            entry.as_ref().map(|(serial, value)| (Key { serial: *serial, slot }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_find_who_moved_in_later() {
        let mut arena = Arena::default();
        let first = arena.insert("a");
        assert_eq!(arena.remove(first), Some("a"));
        let second = arena.insert("b");
        assert_eq!(arena.remove(first), None);
        assert_eq!((arena.get(first), arena.get(second)), (None, Some(&"b")));
        assert_eq!(arena.len(), 1);
    }
}
