//! Reference texts, for telling what is near from what is near to everything.
//!
//! Some vectors lie close to nearly all others (hubs): a vague request, or a tool with a general description. The cosine
//! of two texts is corrected by how close each of them is to strangers (cross-domain similarity local scaling).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rarity::Rarity;
use crate::vectors::{dot, normalize};

/// Pooled vectors of ordinary requests and ordinary actions that have nothing to do with one another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bank {
    /// Requests.
    pub requests: Rows,
    /// Actions.
    pub actions: Rows,
    /// How rare words are in such texts; absent in banks that were made without, and then all weigh the same.
    #[serde(default, skip_serializing_if = "Rarity::is_empty")]
    pub rarity: Rarity,
}

/// Vectors `[rows, width]` of length 1, row by row. In JSON one signed byte for each number, as base64: the length is
/// known, so no scale is needed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    width: usize,
    bytes: Vec<i8>,
    vectors: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    width: usize,
    base64: String,
}

/// Neighbours whose mean is the correction.
const NEIGHBOURS: usize = 10;

impl Bank {
    /// Mean cosine of `vector` with its nearest requests; 0 where there are none.
    pub fn near_requests(&self, vector: &[f32]) -> f32 {
        self.requests.nearest(vector)
    }

    /// Mean cosine of `vector` with its nearest actions; 0 where there are none.
    pub fn near_actions(&self, vector: &[f32]) -> f32 {
        self.actions.nearest(vector)
    }
}

impl Rows {
    /// Takes vectors of one width; they are rounded as they will be in a file, so that nothing depends on whether they
    /// were written and read in between.
    pub fn new(width: usize, vectors: &[Vec<f32>]) -> Self {
        let pack = |vector: &Vec<f32>| -> Vec<i8> {
            let largest = vector.iter().fold(1e-9f32, |m, x| m.max(x.abs()));
            vector.iter().map(|x| (x / largest * 127.0).round() as i8).collect()
        };
        Self::unpacked(width, vectors.iter().flat_map(pack).collect())
    }

    fn unpacked(width: usize, bytes: Vec<i8>) -> Self {
        let mut vectors: Vec<f32> = bytes.iter().map(|b| f32::from(*b)).collect();
        vectors.chunks_exact_mut(width.max(1)).for_each(normalize);
        Self { width, bytes, vectors }
    }

    fn nearest(&self, vector: &[f32]) -> f32 {
        let mut best = [-1.0f32; NEIGHBOURS];
        for row in self.vectors.chunks_exact(self.width.max(1)) {
            let cosine = dot(vector, row);
            let place = best.iter().position(|b| cosine > *b);
            if let Some(tail) = place.and_then(|place| best.get_mut(place..)) {
                tail.rotate_right(1);
                tail.first_mut().into_iter().for_each(|b| *b = cosine);
            }
        }
        let rows = self.vectors.len() / self.width.max(1);
        let found = best.get(..rows.min(NEIGHBOURS)).unwrap_or_default();
        crate::vectors::mean(found).unwrap_or(0.0)
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.bytes.iter().map(|b| b.cast_unsigned()).collect();
        Packed { width: self.width, base64: STANDARD.encode(bytes) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let packed = Packed::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&packed.base64).map_err(serde::de::Error::custom)?;
        if packed.width == 0 && !bytes.is_empty() || packed.width > 0 && bytes.len() % packed.width != 0 {
            let problem = format!("bank: {} numbers are no rows of width {}", bytes.len(), packed.width);
            return Err(serde::de::Error::custom(problem));
        }
        Ok(Self::unpacked(packed.width, bytes.into_iter().map(u8::cast_signed).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank() -> Bank {
        let requests = Rows::new(2, &[vec![1.0, 0.0], vec![0.6, 0.8]]);
        Bank { requests, rarity: Rarity::of(["pay the rent"]), ..Bank::default() }
    }

    #[test]
    fn the_nearest_count() {
        assert!((bank().near_requests(&[1.0, 0.0]) - 0.8).abs() < 0.01);
        assert_eq!(bank().near_actions(&[1.0, 0.0]), 0.0);
        let many: Vec<Vec<f32>> =
            (0..40).map(|i| if i < 10 { vec![1.0, 0.0] } else { vec![0.0, 1.0] }).collect();
        assert_eq!(Rows::new(2, &many).nearest(&[1.0, 0.0]), 1.0);
    }

    #[test]
    fn writing_and_reading_changes_nothing() {
        let json = serde_json::to_string(&bank()).unwrap();
        assert_eq!(serde_json::from_str::<Bank>(&json).unwrap(), bank());
        let torn = json.replace("\"width\":2", "\"width\":3");
        assert!(serde_json::from_str::<Bank>(&torn).unwrap_err().to_string().contains("no rows of width 3"));
    }
}
