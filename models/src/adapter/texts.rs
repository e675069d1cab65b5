//! Texts in groups of about one length, so that little is computed for padding.

use candle_core::{Device, Result, Tensor};

/// Texts of a group: more make larger tensors than a cache holds, and more padding.
const GROUP: usize = 12;

/// Token ids of several texts, padded to the longest.
pub struct Padded {
    /// `[texts, tokens]`
    pub ids: Tensor,
    /// `[texts, tokens]`: 1 at tokens, special ones included, 0 at padding.
    pub present: Tensor,
    /// `[texts, tokens]`: 1 at tokens that are no special ones.
    pub inner: Tensor,
    /// Tokens of each text that are no special ones.
    pub lengths: Vec<usize>,
}

/// Texts as vectors.
pub struct Encoded {
    /// `[texts, tokens, width]`, each of length 1; what stands at padding means nothing.
    pub tokens: Tensor,
    /// `[texts, width]`, each of length 1.
    pub pooled: Tensor,
}

/// Texts by length.
pub struct Texts {
    /// From the shortest to the longest.
    pub groups: Vec<Padded>,
    /// Where each text came to stand.
    places: Vec<u32>,
}

impl Texts {
    /// Sorts and pads.
    pub fn of(texts: &[Vec<u32>]) -> Result<Self> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|i| texts.get(*i).map_or(0, Vec::len));
        let mut ranked: Vec<(usize, u32)> = order.iter().copied().zip(0..).collect();
        ranked.sort_unstable();
        let of_group = |group: &[usize]| {
            let texts: Vec<&[u32]> = group.iter().filter_map(|i| texts.get(*i)).map(Vec::as_slice).collect();
            Padded::of(&texts)
        };
        let groups = order.chunks(GROUP).map(of_group).collect::<Result<_>>()?;
        Ok(Self { groups, places: ranked.into_iter().map(|(_, place)| place).collect() })
    }

    /// Rows that came group by group, in the order in which the texts were given.
    pub fn in_order(&self, rows: &Tensor, dim: usize) -> Result<Tensor> {
        rows.contiguous()?.index_select(&Tensor::new(self.places.as_slice(), &Device::Cpu)?, dim)
    }
}

impl Padded {
    fn of(texts: &[&[u32]]) -> Result<Self> {
        let longest = texts.iter().map(|t| t.len()).max().unwrap_or(0);
        let shape = (texts.len(), longest);
        let at = |value: &dyn Fn(&[u32], usize) -> f32| {
            let flat: Vec<f32> = texts.iter().flat_map(|t| (0..longest).map(|i| value(t, i))).collect();
            Tensor::from_vec(flat, shape, &Device::Cpu)
        };
        let ids: Vec<u32> =
            texts.iter().flat_map(|t| (0..longest).map(|i| t.get(i).copied().unwrap_or(0))).collect();
        Ok(Self {
            ids: Tensor::from_vec(ids, shape, &Device::Cpu)?,
            present: at(&|text, i| if i < text.len() { 1.0 } else { 0.0 })?,
            inner: at(&|text, i| if i > 0 && i + 1 < text.len() { 1.0 } else { 0.0 })?,
            lengths: texts.iter().map(|t| t.len().saturating_sub(2)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_in_the_order_in_which_they_were_given() {
        let given: Vec<Vec<u32>> = [5usize, 3, 9, 4].iter().map(|n| vec![*n as u32; *n]).collect();
        let texts = Texts::of(&given).unwrap();
        let firsts: Vec<Tensor> = texts.groups.iter().map(|g| g.ids.narrow(1, 0, 1).unwrap()).collect();
        let ordered = texts.in_order(&Tensor::cat(&firsts, 0).unwrap(), 0).unwrap();
        assert_eq!(ordered.flatten_all().unwrap().to_vec1::<u32>().unwrap(), [5, 3, 9, 4]);
        assert_eq!(texts.groups[0].lengths, [1, 2, 3, 7]);
        let inner = texts.groups[0].inner.sum(1).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(inner, [1.0, 2.0, 3.0, 7.0]);
    }
}
