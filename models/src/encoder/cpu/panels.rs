//! How activations lie in memory: in panels of 64 columns.
//!
//! The result of a product is `[panels, rows, 64]`: first all rows of the first 64 columns, then all rows of the next. A
//! panel is what one thread computes without touching what another writes; the rows of a panel follow each other, so a
//! head of attention finds its queries, keys and values 64 apart and not a whole row apart.

use std::marker::PhantomData;
use std::ops::Range;

/// Columns of a panel.
pub const PANEL: usize = 64;

/// Panels that hold `columns` columns; the last may have columns to spare.
pub const fn panels(columns: usize) -> usize {
    columns.div_ceil(PANEL)
}

/// The part of row `row` that lies in each panel of `matrix`, which has `rows` rows.
pub fn row(matrix: &[f32], rows: usize, row: usize) -> impl Iterator<Item = &[f32; PANEL]> {
    matrix.as_chunks::<PANEL>().0.iter().skip(row).step_by(rows.max(1))
}

/// A buffer of which several threads write different parts at once.
pub struct Parts<'a, T> {
    start: *mut T,
    length: usize,
    buffer: PhantomData<&'a mut [T]>,
}

// SAFETY: parts are only given out by `part`, whose callers promise that no two overlap; so sharing `Parts` between
// threads shares nothing but disjoint slices of `T`, which may be sent.
#[allow(unsafe_code, reason = "see above")]
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// Of a whole buffer.
    pub fn of(buffer: &'a mut [T]) -> Self {
        Self { start: buffer.as_mut_ptr(), length: buffer.len(), buffer: PhantomData }
    }

    /// One part.
    ///
    /// # Panics
    /// If it reaches beyond the buffer.
    ///
    /// # Safety
    /// While one part is in use, no other that overlaps it may be.
    #[allow(unsafe_code, reason = "several threads write one buffer")]
    #[allow(clippy::mut_from_ref, reason = "that is its purpose; see the safety section")]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "a part lies inside its buffer");
        // SAFETY: inside the buffer, as just checked; the buffer is borrowed for 'a; no overlap by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_in_every_panel() {
        let (rows, columns) = (3, 2 * PANEL);
        let mut matrix = vec![0.0; rows * columns];
        for (i, value) in matrix.iter_mut().enumerate() {
            let (panel, row, column) = (i / (rows * PANEL), i / PANEL % rows, i % PANEL);
            *value = (row * columns + panel * PANEL + column) as f32;
        }
        for r in 0..rows {
            let found: Vec<f32> = row(&matrix, rows, r).flatten().copied().collect();
            let expected: Vec<f32> = (0..columns).map(|c| (r * columns + c) as f32).collect();
            assert_eq!(found, expected);
        }
    }
}
