//! The encoder's answer for one text, ready for comparison.

use std::ops::Range;

use wide::f32x8;

/// One window of a text: at most the model's maximum length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Window {
    /// Pooled vector `[width]`, L2-normalised here.
    pub pooled: Vec<f32>,
    /// Token vectors `[tokens, width]`, row by row, without special tokens; each L2-normalised here.
    pub tokens: Vec<f32>,
    /// Byte range of each token in the text.
    pub offsets: Vec<Range<usize>>,
}

/// A text as vectors, in one or more windows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextVectors {
    width: usize,
    windows: Vec<Window>,
    degraded: bool,
}

impl TextVectors {
    /// Takes what the encoder gave and normalises every vector, so that a dot product is a cosine.
    pub fn new(width: usize, mut windows: Vec<Window>) -> Self {
        for window in &mut windows {
            normalize(&mut window.pooled);
            for row in window.tokens.chunks_exact_mut(width.max(1)) {
                normalize(row);
            }
        }
        Self { width, windows, degraded: false }
    }

    /// Says whether a cheaper path than the ordinary one made them.
    #[must_use]
    pub fn degraded(self, degraded: bool) -> Self {
        Self { degraded, ..self }
    }

    /// Whether a cheaper path made them.
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// The windows in the order of the text.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Tokens in all windows; a token in the overlap of two windows counts twice.
    pub fn token_count(&self) -> usize {
        self.windows.iter().map(|w| w.offsets.len()).sum()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let of = |w: &Window| 4 * (w.pooled.len() + w.tokens.len()) + 16 * w.offsets.len();
        size_of::<Self>() + self.windows.iter().map(of).sum::<usize>()
    }

    /// Raw cosine of the pooled vectors: the worst window of `self` against its best window of `intent`.
    /// `None` where either side has no window.
    pub fn cosine(&self, intent: &Self) -> Option<f32> {
        let best =
            |w: &Window| intent.windows.iter().map(|i| dot(&w.pooled, &i.pooled)).max_by(f32::total_cmp);
        self.windows.iter().filter_map(best).min_by(f32::total_cmp)
    }

    /// The best cosine of every token of `self` with any token of `other`, and the other way round.
    pub fn matches(&self, other: &Self) -> Matches {
        let empty = |text: &Self| text.windows.iter().map(|w| vec![NO_MATCH; w.offsets.len()]).collect();
        let mut matches = Matches { ours: empty(self), theirs: empty(other) };
        for (window, ours) in self.windows.iter().zip(&mut matches.ours) {
            for (partner, theirs) in other.windows.iter().zip(&mut matches.theirs) {
                self.match_windows(window, ours, partner, theirs);
            }
        }
        matches
    }

    /// Two tokens with two at a time: what is loaded is used twice, and four sums are under way at once.
    fn match_windows(&self, window: &Window, ours: &mut [f32], partner: &Window, theirs: &mut [f32]) {
        let width = self.width.max(1);
        let (ours, theirs) = (trimmed(ours, window, width), trimmed(theirs, partner, width));
        let pairs = window.tokens.chunks(2 * width).zip(ours.chunks_mut(2));
        for (rows, best) in pairs {
            let (first, second) = rows.split_at(width.min(rows.len()));
            for (others, their_best) in partner.tokens.chunks(2 * width).zip(theirs.chunks_mut(2)) {
                let (third, fourth) = others.split_at(width.min(others.len()));
                let cosines = dots([first, second], [third, fourth]);
                for (cosines, best) in cosines.iter().zip(best.iter_mut()) {
                    for (cosine, their_best) in cosines.iter().zip(their_best.iter_mut()) {
                        *best = best.max(*cosine);
                        *their_best = their_best.max(*cosine);
                    }
                }
            }
        }
    }
}

/// As many places as there are vectors.
fn trimmed<'a>(places: &'a mut [f32], window: &Window, width: usize) -> &'a mut [f32] {
    let count = (window.tokens.len() / width).min(places.len());
    places.split_at_mut(count).0
}

/// The cosine of a token that has nothing to compare with.
const NO_MATCH: f32 = -1.0;

/// Best cosines between the tokens of two texts, one list per window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matches {
    /// For the first text.
    pub ours: Vec<Vec<f32>>,
    /// For the second.
    pub theirs: Vec<Vec<f32>>,
}

/// Scales to length 1; a zero vector stays zero.
pub(crate) fn normalize(vector: &mut [f32]) {
    let norm = dot(vector, vector).sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|x| *x /= norm);
    }
}

/// Dot product in eight interleaved sums: vectorises, and its order of additions never changes, so the same two
/// vectors give the same bits everywhere.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut sums = f32x8::ZERO;
    for (x, y) in a8.iter().zip(b8) {
        sums += f32x8::new(*x) * f32x8::new(*y);
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    total(sums) + rest
}

/// [`dot`] of each with each, the same bits. One that is empty gives what is to be ignored.
fn dots(rows: [&[f32]; 2], others: [&[f32]; 2]) -> [[f32; 2]; 2] {
    let [(a, a_rest), (b, b_rest)] = rows.map(<[f32]>::as_chunks::<8>);
    let [(x, x_rest), (y, y_rest)] = others.map(<[f32]>::as_chunks::<8>);
    let whole = [a_rest, b_rest, x_rest, y_rest].iter().all(|rest| rest.is_empty());
    if !whole || a.len() != b.len() || x.len() != y.len() {
        return rows.map(|row| others.map(|other| dot(row, other)));
    }
    let [mut ax, mut ay, mut bx, mut by] = [f32x8::ZERO; 4];
    for (((a, b), x), y) in a.iter().zip(b).zip(x).zip(y) {
        let [a, b, x, y] = [*a, *b, *x, *y].map(f32x8::new);
        ax += a * x;
        ay += a * y;
        bx += b * x;
        by += b * y;
    }
    let [ax, ay, bx, by] = [ax, ay, bx, by].map(total);
    [[ax, ay], [bx, by]]
}

/// The lanes one after the other, which fixes the bits.
fn total(sums: f32x8) -> f32 {
    sums.to_array().iter().sum()
}

/// Mean of values with their weights; where nothing weighs anything, the plain one. `None` of none.
pub(crate) fn weighted_mean<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)> + Clone) -> Option<f32> {
    let (sum, weight) = pairs.clone().fold((0.0, 0.0), |(sum, all), (x, w)| (sum + x * w, all + w));
    if weight > 0.0 {
        return Some(sum / weight);
    }
    let (sum, count) = pairs.fold((0.0, 0), |(sum, n), (x, _)| (sum + x, n + 1));
    (count > 0).then(|| sum / count as f32)
}

/// Mean, or `None` of nothing.
pub fn mean(values: &[f32]) -> Option<f32> {
    (!values.is_empty()).then(|| values.iter().sum::<f32>() / values.len() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(windows: &[&[[f32; 2]]]) -> TextVectors {
        let window = |rows: &&[[f32; 2]]| Window {
            pooled: rows[0].to_vec(),
            tokens: rows.concat(),
            offsets: (0..rows.len()).map(|i| i..i + 1).collect(),
        };
        TextVectors::new(2, windows.iter().map(window).collect())
    }

    #[test]
    fn the_worst_window_of_an_action_counts() {
        let intent = text(&[&[[2.0, 0.0]]]);
        let action = text(&[&[[5.0, 0.0]], &[[0.0, 3.0]]]);
        assert_eq!(action.cosine(&intent), Some(0.0));
        assert_eq!(intent.cosine(&action), Some(1.0));
        assert_eq!(TextVectors::default().cosine(&intent), None);
    }

    #[test]
    fn every_token_finds_its_best_partner() {
        let a = text(&[&[[1.0, 0.0], [0.0, 1.0]]]);
        let b = text(&[&[[1.0, 1.0]]]);
        let m = a.matches(&b);
        let half = 0.5f32.sqrt();
        assert!((m.ours[0][0] - half).abs() < 1e-6 && (m.ours[0][1] - half).abs() < 1e-6);
        assert!((m.theirs[0][0] - half).abs() < 1e-6);
        assert_eq!(b.matches(&a).ours, m.theirs);
    }

    #[test]
    fn tokens_are_matched_to_the_bit_whatever_their_number() {
        let text = |tokens: usize, width: usize, seed: usize| {
            let value = |i: usize| (((i + seed) * 7919) % 1009) as f32 / 500.0 - 1.0;
            let tokens: Vec<f32> = (0..tokens * width).map(value).collect();
            let offsets = (0..tokens.len() / width).map(|i| i..i + 1).collect();
            TextVectors::new(width, vec![Window { pooled: vec![1.0; width], tokens, offsets }])
        };
        for (ours, theirs, width) in [(1, 1, 384), (2, 3, 384), (7, 4, 32), (5, 5, 20), (0, 3, 8), (3, 0, 8)]
        {
            let (a, b) = (text(ours, width, 1), text(theirs, width, 77));
            let best = |a: &TextVectors, b: &TextVectors| -> Vec<f32> {
                let rows = |t: &TextVectors| {
                    t.windows[0].tokens.chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>()
                };
                let of = |row: &Vec<f32>| rows(b).iter().map(|o| dot(row, o)).fold(NO_MATCH, f32::max);
                rows(a).iter().map(of).collect()
            };
            let found = a.matches(&b);
            assert_eq!((&found.ours[0], &found.theirs[0]), (&best(&a, &b), &best(&b, &a)), "{ours} {theirs}");
        }
    }

    #[test]
    fn dot_agrees_with_the_plain_sum_at_odd_lengths() {
        for n in [0, 1, 7, 8, 9, 31, 384] {
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let plain: f64 = a.iter().map(|x| f64::from(*x).powi(2)).sum();
            assert!((f64::from(dot(&a, &a)) - plain).abs() < 1e-4);
        }
    }
}
