//! Numbers that look random and are the same on every machine.

use sha2::{Digest as _, Sha256};

/// The generator of Steele, Lea and Flood (OOPSLA 2014): small, and the same on every machine.
pub struct SplitMix(u64);

impl SplitMix {
    /// A stream of its own for each number.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for each name, whatever else is drawn.
    pub fn named(seed: u64, name: &str) -> Self {
        let digest = Sha256::digest(format!("{seed}/{name}").as_bytes());
        Self(digest.iter().take(8).fold(0, |all, byte| (all << 8) | u64::from(*byte)))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to `bound`, by the high bits of a product: the bias of 2^-64 is nobody's concern here.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    /// A number of a range, both ends included.
    pub fn within(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        range.start() + self.below(range.end() + 1 - range.start())
    }

    /// One of many; `None` of none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len().max(1)))
    }

    /// `0..count`, shuffled.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            let other = self.below(last + 1);
            order.swap(last, other);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_every_number_once_and_a_name_is_its_seed() {
        let order = SplitMix::named(1, "a").order(20);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        assert_eq!(order, SplitMix::named(1, "a").order(20));
        assert_ne!(order, SplitMix::named(1, "b").order(20));
    }
}
