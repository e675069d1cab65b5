//! A model's `config.json`, as far as an encoder needs it.

use serde::Deserialize;

use super::EncoderError;
use super::family::Family;
use super::weights::Place;
use crate::bundle::{Architecture, Bundle};

/// Shape of an encoder, whatever its family calls the numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The network.
    pub architecture: Architecture,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Added to the variance.
    pub layer_norm_eps: f64,
    /// Rows of the position table.
    pub max_position_embeddings: usize,
    /// The row of a text's first token.
    pub first_position: usize,
    /// Rows of the token type table; 0 if there is none.
    pub type_vocab_size: usize,
    /// Rows of the word table.
    pub vocab_size: usize,
    /// Rows of the table of what distance adds to attention; 0 if there is none.
    pub distance_buckets: usize,
}

/// The keys of BERT, RoBERTa and MPNet. Other keys of the file are for other programs.
#[derive(Deserialize)]
struct BertKeys {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    max_position_embeddings: usize,
    type_vocab_size: Option<usize>,
    vocab_size: usize,
    pad_token_id: Option<usize>,
    position_embedding_type: Option<String>,
    relative_attention_num_buckets: Option<usize>,
}

/// The keys of DistilBERT.
#[derive(Deserialize)]
struct DistilKeys {
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    activation: String,
    max_position_embeddings: usize,
    vocab_size: usize,
}

#[derive(Deserialize)]
struct Kind {
    model_type: Option<String>,
}

/// DistilBERT's configuration does not say.
const DISTIL_EPS: f64 = 1e-12;
/// Where RoBERTa's or MPNet's does not say which token is padding.
const PADDING: usize = 1;
/// Rows of MPNet's table of distances where its configuration does not say.
const BUCKETS: usize = 32;

fn fail<T>(key: &str, problem: impl Into<String>) -> Result<T, EncoderError> {
    Err(EncoderError::Config(format!("{key}: {}", problem.into())))
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, EncoderError> {
    serde_json::from_slice(json).map_err(|e| EncoderError::Config(e.to_string()))
}

impl ModelConfig {
    /// Reads and checks the configuration of a bundle, also that the bundle asks for no more tokens than it allows.
    ///
    /// # Errors
    /// As [`ModelConfig::parse`].
    pub fn of(bundle: &Bundle) -> Result<Self, EncoderError> {
        let spec = &bundle.manifest.encoder;
        let config = Self::parse(&bundle.config, spec.architecture)?;
        config.check_length(spec.max_length)?;
        Ok(config)
    }

    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// Names the key that is missing or has a value that is not supported.
    pub fn parse(json: &[u8], architecture: Architecture) -> Result<Self, EncoderError> {
        let kind: Kind = read(json)?;
        let known = Family::model_types(architecture);
        if let Some(found) = kind.model_type.filter(|kind| !known.contains(&kind.as_str())) {
            return fail(
                "model_type",
                format!("is {found:?}, and the bundle's architecture means {known:?}"),
            );
        }
        let (config, activation) = match architecture {
            Architecture::Distilbert => Self::distil(read(json)?),
            _ => Self::bert(read(json)?, architecture)?,
        };
        if activation != "gelu" {
            let key = if architecture == Architecture::Distilbert { "activation" } else { "hidden_act" };
            return fail(key, format!("{activation:?} is not supported, only \"gelu\""));
        }
        config.check()?;
        Ok(config)
    }

    fn bert(keys: BertKeys, architecture: Architecture) -> Result<(Self, String), EncoderError> {
        if let Some(other) = keys.position_embedding_type.filter(|kind| kind != "absolute") {
            return fail("position_embedding_type", format!("{other:?} is not supported"));
        }
        let is_mpnet = architecture == Architecture::Mpnet;
        // RoBERTa and its children number positions from the one after the padding's.
        let first_position = match architecture {
            Architecture::Bert => 0,
            // MPNet's is fixed, whatever its configuration says.
            Architecture::Mpnet => PADDING + 1,
            _ => keys.pad_token_id.unwrap_or(PADDING) + 1,
        };
        let type_vocab_size = match (is_mpnet, keys.type_vocab_size) {
            (true, _) => 0,
            (false, Some(rows)) if rows > 0 => rows,
            (false, Some(_)) => return fail("type_vocab_size", "must be at least 1"),
            (false, None) => return fail("type_vocab_size", "is missing"),
        };
        let config = Self {
            architecture,
            hidden_size: keys.hidden_size,
            num_hidden_layers: keys.num_hidden_layers,
            num_attention_heads: keys.num_attention_heads,
            intermediate_size: keys.intermediate_size,
            layer_norm_eps: keys.layer_norm_eps,
            max_position_embeddings: keys.max_position_embeddings,
            first_position,
            type_vocab_size,
            vocab_size: keys.vocab_size,
            distance_buckets: if is_mpnet {
                keys.relative_attention_num_buckets.unwrap_or(BUCKETS)
            } else {
                0
            },
        };
        Ok((config, keys.hidden_act))
    }

    fn distil(keys: DistilKeys) -> (Self, String) {
        let config = Self {
            architecture: Architecture::Distilbert,
            hidden_size: keys.dim,
            num_hidden_layers: keys.n_layers,
            num_attention_heads: keys.n_heads,
            intermediate_size: keys.hidden_dim,
            layer_norm_eps: DISTIL_EPS,
            max_position_embeddings: keys.max_position_embeddings,
            first_position: 0,
            type_vocab_size: 0,
            vocab_size: keys.vocab_size,
            distance_buckets: 0,
        };
        (config, keys.activation)
    }

    fn check(&self) -> Result<(), EncoderError> {
        let is_distil = self.architecture == Architecture::Distilbert;
        let named = |bert, distil| if is_distil { distil } else { bert };
        let width = named("hidden_size", "dim");
        if self.hidden_size == 0 || self.vocab_size == 0 {
            return fail(&format!("{width}, vocab_size"), "must be at least 1");
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let key = named("num_attention_heads", "n_heads");
            return fail(key, format!("does not divide {width} {}", self.hidden_size));
        }
        if self.distance_buckets != 0 && !(4..512).contains(&self.distance_buckets) {
            return fail("relative_attention_num_buckets", "must be from 4 to 511");
        }
        Ok(())
    }

    /// Tokens of a text at most: positions in the table, less those that no text uses.
    pub fn positions(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position)
    }

    /// Refuses a bundle that asks for more tokens than there are positions.
    fn check_length(&self, max_length: usize) -> Result<(), EncoderError> {
        let most = self.positions();
        if max_length > most {
            let problem = format!("allows {most} tokens, and the bundle's max_length is {max_length}");
            return fail("max_position_embeddings", problem);
        }
        Ok(())
    }

    /// Inputs and outputs of a product.
    pub fn shape(&self, place: Place) -> (usize, usize) {
        let (width, inner) = (self.hidden_size, self.intermediate_size);
        match place {
            Place::Up => (width, inner),
            Place::Down => (inner, width),
            Place::Query | Place::Key | Place::Value | Place::Attended => (width, width),
        }
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
        assert!(
            ModelConfig::parse(json.as_bytes(), Architecture::Bert)
                .unwrap_err()
                .to_string()
                .contains("hidden_act")
        );
    }

    #[test]
    fn heads_must_divide_the_width() {
        let json = TINY.replace("\"num_attention_heads\":2", "\"num_attention_heads\":3");
        assert!(
            ModelConfig::parse(json.as_bytes(), Architecture::Bert)
                .unwrap_err()
                .to_string()
                .contains("num_attention_heads")
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        let json = TINY.replace("\"vocab_size\":10,", "");
        assert!(
            ModelConfig::parse(json.as_bytes(), Architecture::Bert)
                .unwrap_err()
                .to_string()
                .contains("vocab_size")
        );
    }

    #[test]
    fn relatives_number_positions_from_two_and_name_things_their_way() {
        let roberta = TINY.replace("\"x\":1", "\"model_type\":\"xlm-roberta\",\"pad_token_id\":1");
        let config = ModelConfig::parse(roberta.as_bytes(), Architecture::Roberta).unwrap();
        assert_eq!((config.first_position, config.positions(), config.type_vocab_size), (2, 14, 2));
        assert!(config.check_length(14).is_ok() && config.check_length(15).is_err());
        let mpnet = TINY.replace("\"type_vocab_size\":2,", "\"relative_attention_num_buckets\":8,");
        let config = ModelConfig::parse(mpnet.as_bytes(), Architecture::Mpnet).unwrap();
        assert_eq!((config.first_position, config.type_vocab_size, config.distance_buckets), (2, 0, 8));
        let distil = r#"{"model_type":"distilbert","dim":8,"n_layers":1,"n_heads":3,"hidden_dim":16,
            "activation":"gelu","max_position_embeddings":16,"vocab_size":10}"#;
        let parse = |json: &str| ModelConfig::parse(json.as_bytes(), Architecture::Distilbert);
        assert!(parse(distil).unwrap_err().to_string().contains("n_heads: does not divide dim 8"));
        let config = parse(&distil.replace("\"n_heads\":3", "\"n_heads\":4")).unwrap();
        assert_eq!((config.head_size(), config.positions()), (2, 16));
    }

    #[test]
    fn a_configuration_of_another_family_is_refused() {
        let json = TINY.replace("\"x\":1", "\"model_type\":\"electra\"");
        let error = ModelConfig::parse(json.as_bytes(), Architecture::Bert).unwrap_err().to_string();
        assert!(error.contains("model_type: is \"electra\""), "{error}");
    }
}
