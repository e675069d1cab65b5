//! What sets BERT's relatives apart: how their tensors are called, where positions begin, what distance adds to attention.

use crate::bundle::Architecture;

/// Names of tensors and of their groups, without the prefix that a file may put before all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Before every name in files of a whole model with a task's head.
    pub prefix: &'static str,
    /// Before the number of a layer.
    pub layers: &'static str,
    /// Within a layer: the query's projection.
    pub query: &'static str,
    /// The key's.
    pub key: &'static str,
    /// The value's.
    pub value: &'static str,
    /// Of what was attended to.
    pub attended: &'static str,
    /// Layer norm after the first residual.
    pub attended_norm: &'static str,
    /// Into the feed-forward part.
    pub up: &'static str,
    /// Out of it.
    pub down: &'static str,
    /// Layer norm after the second residual.
    pub norm: &'static str,
}

const BERT: Family = Family {
    prefix: "bert.",
    layers: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attended: "attention.output.dense",
    attended_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    norm: "output.LayerNorm",
};

const ROBERTA: Family = Family { prefix: "roberta.", ..BERT };

const MPNET: Family = Family {
    prefix: "mpnet.",
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    attended: "attention.attn.o",
    attended_norm: "attention.LayerNorm",
    ..BERT
};

const DISTILBERT: Family = Family {
    prefix: "distilbert.",
    layers: "transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attended: "attention.out_lin",
    attended_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    norm: "output_layer_norm",
};

/// MPNet's table of what distance adds, `[buckets, heads]`.
pub const DISTANCES: &str = "encoder.relative_attention_bias.weight";

impl Family {
    /// The names of an architecture.
    pub fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::Bert => BERT,
            Architecture::Roberta => ROBERTA,
            Architecture::Mpnet => MPNET,
            Architecture::Distilbert => DISTILBERT,
        }
    }

    /// Values of `model_type` in a `config.json` that mean this architecture.
    pub fn model_types(architecture: Architecture) -> &'static [&'static str] {
        match architecture {
            Architecture::Bert => &["bert"],
            Architecture::Roberta => &["roberta", "xlm-roberta", "camembert"],
            Architecture::Mpnet => &["mpnet"],
            Architecture::Distilbert => &["distilbert"],
        }
    }
}

/// From this distance on all keys are equally far.
const FAR: f32 = 128.0;

/// The row of MPNet's table for a key that stands `distance` after its query (before it, if negative). Half of the rows are
/// for keys that come later; of each half the first half is for one distance each, the rest for ranges that grow
/// (Raffel et al. 2020, T5).
pub fn bucket(distance: i64, buckets: usize) -> usize {
    let half = buckets / 2;
    let side = if distance > 0 { half } else { 0 };
    let far = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
    let exact = half / 2;
    if far < exact {
        return side + far;
    }
    // In f32, as the models were trained: where a range ends depends on it.
    let grown = (far as f32 / exact as f32).ln() / (FAR / exact as f32).ln() * (half - exact) as f32;
    side + (exact + grown as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_keys_have_rows_of_their_own_and_far_ones_share() {
        let row = |distance| bucket(distance, 32);
        assert_eq!((row(0), row(-1), row(-7), row(1), row(7)), (0, 1, 7, 17, 23));
        assert_eq!((row(-8), row(-11), row(-12), row(-127), row(-500), row(500)), (8, 8, 9, 15, 15, 31));
    }
}
