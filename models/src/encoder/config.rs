//! A model's `config.json`, as far as an encoder needs it.

use serde::Deserialize;

use super::EncoderError;

/// Shape of a BERT encoder. Other keys of the file are for other programs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BertConfig {
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Only `gelu` (with erf) is known.
    pub hidden_act: String,
    /// Added to the variance.
    pub layer_norm_eps: f64,
    /// Positions in the table.
    pub max_position_embeddings: usize,
    /// Rows of the token type table.
    pub type_vocab_size: usize,
    /// Rows of the word table.
    pub vocab_size: usize,
    /// Only `absolute` is known.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl BertConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// Names the key that is missing or has a value that is not supported.
    pub fn parse(json: &[u8]) -> Result<Self, EncoderError> {
        let config: Self = serde_json::from_slice(json).map_err(|e| EncoderError::Config(e.to_string()))?;
        let fail = |key: &str, problem: String| Err(EncoderError::Config(format!("{key}: {problem}")));
        if config.hidden_size == 0 || config.vocab_size == 0 || config.type_vocab_size == 0 {
            return fail("hidden_size, vocab_size, type_vocab_size", "must be at least 1".to_owned());
        }
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return fail(
                "num_attention_heads",
                format!("does not divide hidden_size {}", config.hidden_size),
            );
        }
        if config.hidden_act != "gelu" {
            return fail("hidden_act", format!("{:?} is not supported, only \"gelu\"", config.hidden_act));
        }
        if config.position_embedding_type != "absolute" {
            return fail(
                "position_embedding_type",
                format!("{:?} is not supported", config.position_embedding_type),
            );
        }
        Ok(config)
    }

    /// Refuses a bundle that asks for more tokens than there are positions.
    ///
    /// # Errors
    /// Names `max_position_embeddings`.
    pub fn check_length(&self, max_length: usize) -> Result<(), EncoderError> {
        if max_length > self.max_position_embeddings {
            let problem = format!("the bundle's max_length {max_length} is beyond it");
            return Err(EncoderError::Config(format!("max_position_embeddings: {problem}")));
        }
        Ok(())
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const TINY: &str = r#"{"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,"intermediate_size":16,
        "hidden_act":"gelu","layer_norm_eps":1e-12,"max_position_embeddings":16,"type_vocab_size":2,"vocab_size":10,"x":1}"#;

    #[test]
    fn unknown_activations_are_refused_by_name() {
        let json = TINY.replace("gelu", "relu");
        assert!(BertConfig::parse(json.as_bytes()).unwrap_err().to_string().contains("hidden_act"));
    }

    #[test]
    fn heads_must_divide_the_width() {
        let json = TINY.replace("\"num_attention_heads\":2", "\"num_attention_heads\":3");
        assert!(BertConfig::parse(json.as_bytes()).unwrap_err().to_string().contains("num_attention_heads"));
    }

    #[test]
    fn a_missing_key_is_named() {
        let json = TINY.replace("\"vocab_size\":10,", "");
        assert!(BertConfig::parse(json.as_bytes()).unwrap_err().to_string().contains("vocab_size"));
    }
}
