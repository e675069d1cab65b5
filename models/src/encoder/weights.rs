//! Tensors by name, checked.

use safetensors::{Dtype, SafeTensors};

use super::cpu::Norm;
use crate::encoder::EncoderError;
use crate::encoder::config::ModelConfig;
use crate::encoder::family::{DISTANCES, Family, bucket};

/// The word table.
pub const WORDS: &str = "embeddings.word_embeddings.weight";
/// The position table.
pub const POSITIONS: &str = "embeddings.position_embeddings.weight";

/// The tensors of a model, with or without the prefix of its family.
pub struct Weights<'a> {
    tensors: &'a SafeTensors<'a>,
    config: &'a ModelConfig,
    family: Family,
    prefix: &'static str,
}

/// Where a product stands in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The query's projection.
    Query,
    /// The key's.
    Key,
    /// The value's.
    Value,
    /// Of what was attended to.
    Attended,
    /// Into the feed-forward part.
    Up,
    /// Out of it.
    Down,
}

impl<'a> Weights<'a> {
    /// Of a file.
    pub fn of(tensors: &'a SafeTensors<'a>, config: &'a ModelConfig) -> Self {
        let family = Family::of(config.architecture);
        let prefixed = tensors.names().iter().any(|n| n.starts_with(family.prefix));
        Self { tensors, config, family, prefix: if prefixed { family.prefix } else { "" } }
    }

    /// Values of a tensor of this many elements.
    ///
    /// # Errors
    /// Names the tensor that is missing or has another shape or type.
    fn get(&self, name: &str, elements: usize) -> Result<Vec<f32>, EncoderError> {
        let name = format!("{}{name}", self.prefix);
        let fail = |problem: String| EncoderError::Weights(format!("tensor {name}: {problem}"));
        let tensor = self.tensors.tensor(&name).map_err(|e| fail(e.to_string()))?;
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => {
                let halves = tensor.data().as_chunks::<2>().0.iter();
                halves.map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
            }
            other => return Err(fail(format!("{other:?} is not supported, only F32 and F16"))),
        };
        if values.len() != elements {
            return Err(fail(format!("{} elements, {elements} expected", values.len())));
        }
        Ok(values)
    }

    /// The word table, `[vocabulary, width]`.
    ///
    /// # Errors
    /// As all of these: names the tensor that is missing or has another shape or type.
    pub fn words(&self) -> Result<Vec<f32>, EncoderError> {
        self.get(WORDS, self.config.vocab_size * self.config.hidden_size)
    }

    /// What a tensor of a layer is called in the file, without `.weight` and `.bias`.
    pub fn name(&self, layer: usize, place: Place) -> String {
        let name = match place {
            Place::Query => self.family.query,
            Place::Key => self.family.key,
            Place::Value => self.family.value,
            Place::Attended => self.family.attended,
            Place::Up => self.family.up,
            Place::Down => self.family.down,
        };
        format!("{}.{layer}.{name}", self.family.layers)
    }

    /// Matrix `[outputs, inputs]` and bias `[outputs]` of a product.
    ///
    /// # Errors
    /// As [`Weights::words`].
    pub fn linear(&self, layer: usize, place: Place) -> Result<(Vec<f32>, Vec<f32>), EncoderError> {
        let name = self.name(layer, place);
        let (inputs, outputs) = self.config.shape(place);
        Ok((
            self.get(&format!("{name}.weight"), inputs * outputs)?,
            self.get(&format!("{name}.bias"), outputs)?,
        ))
    }

    /// The layer norm of the tables.
    ///
    /// # Errors
    /// As [`Weights::words`].
    pub fn table_norm(&self) -> Result<Norm, EncoderError> {
        self.norm("embeddings.LayerNorm")
    }

    /// The layer norms of a layer: after the first residual, and after the second.
    ///
    /// # Errors
    /// As [`Weights::words`].
    pub fn norms(&self, layer: usize) -> Result<[Norm; 2], EncoderError> {
        let norm = |name| self.norm(&format!("{}.{layer}.{name}", self.family.layers));
        Ok([norm(self.family.attended_norm)?, norm(self.family.norm)?])
    }

    fn norm(&self, name: &str) -> Result<Norm, EncoderError> {
        let gamma = self.get(&format!("{name}.weight"), self.config.hidden_size)?;
        let beta = self.get(&format!("{name}.bias"), self.config.hidden_size)?;
        Ok(Norm { gamma, beta, eps: self.config.layer_norm_eps as f32 })
    }

    /// `[positions, width]` from a text's first token on, with the first token type added: every text is of that type.
    ///
    /// # Errors
    /// As [`Weights::words`].
    pub fn positions(&self) -> Result<Vec<f32>, EncoderError> {
        let (config, width) = (self.config, self.config.hidden_size);
        let mut positions = self.get(POSITIONS, config.max_position_embeddings * width)?;
        positions.drain(..(config.first_position * width).min(positions.len()));
        if config.type_vocab_size > 0 {
            let types =
                self.get("embeddings.token_type_embeddings.weight", config.type_vocab_size * width)?;
            for row in positions.chunks_exact_mut(width) {
                row.iter_mut().zip(&types).for_each(|(p, t)| *p += t);
            }
        }
        Ok(positions)
    }

    /// What the place of a key relative to its query adds to the score, `[heads, 2 * positions - 1]`; place
    /// `positions - 1` of a row is the query's own. Empty if the family knows no such thing.
    ///
    /// # Errors
    /// As [`Weights::words`].
    pub fn distances(&self) -> Result<Vec<f32>, EncoderError> {
        let (buckets, heads) = (self.config.distance_buckets, self.config.num_attention_heads);
        if buckets == 0 {
            return Ok(Vec::new());
        }
        let table = self.get(DISTANCES, buckets * heads)?;
        let most = i64::try_from(self.config.positions()).unwrap_or(i64::MAX);
        let of = |head: usize, distance: i64| table.get(bucket(distance, buckets) * heads + head).copied();
        Ok((0..heads)
            .flat_map(|head| (1 - most..most).map(move |distance| (head, distance)))
            .filter_map(|(head, distance)| of(head, distance))
            .collect())
    }
}
