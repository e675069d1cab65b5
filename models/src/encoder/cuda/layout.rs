//! How a batch lies in device memory, and how large the pieces are that a launch covers. The counterpart is
//! `kernels/batch.cuh`; both must agree.

use std::ops::Range;

/// Rows that one block of attention takes.
pub const QUERIES: usize = 64;
/// Bytes of the counts at the beginning, of a token, of a text, and of an item of attention.
const SIZES: usize = 16;
const ROW: usize = 8;
const TEXT: usize = 8;
const ITEM: usize = 16;

/// What an encoder takes in one pass at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Tokens.
    pub rows: usize,
    /// Texts.
    pub texts: usize,
}

/// A size for which launches are recorded once; smaller batches of the same bucket run with blocks that end at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket {
    /// Tokens at most.
    pub rows: usize,
    /// Texts at most.
    pub texts: usize,
}

impl Bucket {
    /// The bucket of a batch: steps of an eighth or so, as surplus blocks cost little, and whole fragments of 16 rows.
    pub fn of(rows: usize, texts: usize, capacity: Capacity) -> Self {
        let step = match rows {
            0..=64 => 16,
            65..=256 => 32,
            257..=1024 => 128,
            _ => 512,
        };
        Self {
            rows: rows.next_multiple_of(step).min(capacity.rows),
            texts: texts.next_power_of_two().min(capacity.texts),
        }
    }

    /// Items of attention at most: every text has one, and another for each 64 rows.
    pub fn items(self) -> usize {
        self.texts + self.rows / QUERIES
    }

    /// Where the tokens begin.
    pub fn rows_at(self) -> usize {
        SIZES
    }

    /// Where the texts begin.
    pub fn texts_at(self) -> usize {
        self.rows_at() + self.rows * ROW
    }

    /// Where the items begin.
    pub fn items_at(self) -> usize {
        (self.texts_at() + self.texts * TEXT).next_multiple_of(ITEM)
    }

    /// Bytes of the input.
    pub fn input_bytes(self) -> usize {
        self.items_at() + self.items() * ITEM
    }

    /// Where the pooled vectors begin in the output, after the states.
    pub fn pooled_at(self, width: usize) -> usize {
        self.rows * width * size_of::<u16>()
    }

    /// Bytes of the output.
    pub fn output_bytes(self, width: usize) -> usize {
        self.pooled_at(width) + self.texts * width * size_of::<f32>()
    }

    /// Writes a batch. It must be of this bucket.
    pub fn write(self, batch: &[&[u32]], input: &mut [u8]) {
        let (mut rows, mut items) = (0u32, 0u32);
        let (mut row_at, mut text_at, mut item_at) = (self.rows_at(), self.texts_at(), self.items_at());
        for ids in batch {
            let length = number(ids.len());
            for (position, id) in ids.iter().enumerate() {
                row_at = put(input, row_at, [*id, number(position)]);
            }
            text_at = put(input, text_at, [rows, length]);
            for query in (0..length).step_by(QUERIES) {
                item_at = put(input, item_at, [rows, length, query, 0]);
                items += 1;
            }
            rows += length;
        }
        put(input, 0, [rows, number(batch.len()), items, 0]);
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Writes numbers, and says where the next ones go.
fn put<const N: usize>(to: &mut [u8], at: usize, numbers: [u32; N]) -> usize {
    for (place, number) in to.get_mut(at..).unwrap_or_default().chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    at + 4 * N
}

/// Cuts a batch into runs of texts that fit. A text alone always fits: its length was checked.
pub fn passes(lengths: impl Iterator<Item = usize>, capacity: Capacity) -> Vec<Range<usize>> {
    let mut passes: Vec<Range<usize>> = Vec::new();
    let mut rows = 0;
    for (i, length) in lengths.enumerate() {
        match passes.last_mut() {
            Some(last) if rows + length <= capacity.rows && last.len() < capacity.texts => last.end = i + 1,
            _ => {
                passes.push(i..i + 1);
                rows = 0;
            }
        }
        rows += length;
    }
    passes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPACITY: Capacity = Capacity { rows: 2048, texts: 64 };

    proptest! {
        #[test]
        fn every_text_is_in_one_pass_in_order(lengths in prop::collection::vec(1usize..=512, 1..200)) {
            let passes = passes(lengths.iter().copied(), CAPACITY);
            prop_assert_eq!(passes.iter().cloned().flatten().collect::<Vec<_>>(), (0..lengths.len()).collect::<Vec<_>>());
            for pass in passes {
                let rows: usize = lengths[pass.clone()].iter().sum();
                prop_assert!(rows <= CAPACITY.rows && pass.len() <= CAPACITY.texts && !pass.is_empty());
            }
        }

        #[test]
        fn a_bucket_holds_its_batch(lengths in prop::collection::vec(1usize..=512, 1..64)) {
            for pass in passes(lengths.iter().copied(), CAPACITY) {
                let lengths = &lengths[pass];
                let rows = lengths.iter().sum();
                let bucket = Bucket::of(rows, lengths.len(), CAPACITY);
                let items: usize = lengths.iter().map(|n| n.div_ceil(QUERIES)).sum();
                prop_assert!(bucket.rows >= rows && bucket.texts >= lengths.len() && bucket.items() >= items);
                prop_assert!(bucket.rows <= CAPACITY.rows && bucket.texts <= CAPACITY.texts);
                prop_assert_eq!(bucket.items_at() % 16, 0);
            }
        }
    }

    #[test]
    fn a_batch_is_written_as_the_kernels_read_it() {
        let long: Vec<u32> = (0..70).collect();
        let batch: [&[u32]; 2] = [&[7, 8], &long];
        let bucket = Bucket::of(72, 2, CAPACITY);
        assert_eq!(bucket, Bucket { rows: 96, texts: 2 });
        let mut input = vec![0; bucket.input_bytes()];
        bucket.write(&batch, &mut input);
        let numbers: Vec<u32> = input.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let at = |byte: usize, count: usize| &numbers[byte / 4..byte / 4 + count];
        assert_eq!(at(0, 4), [72, 2, 3, 0]);
        assert_eq!(at(bucket.rows_at(), 6), [7, 0, 8, 1, 0, 0]);
        assert_eq!(at(bucket.texts_at(), 4), [0, 2, 2, 70]);
        assert_eq!(at(bucket.items_at(), 12), [0, 2, 0, 0, 2, 70, 0, 0, 2, 70, 64, 0]);
    }
}
