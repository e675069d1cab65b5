//! What the engine's tests share: a tokenizer of five words, and vectors that depend on the token ids alone.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use rhumb_drift::{Action, Effect, Intent};
use rhumb_engine::ScoreInput;
use rhumb_models::encoder::{EncoderInfo, Encoding};
use rhumb_models::tokenizer::Tokenizer;

const WIDTH: usize = 4;
const TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,
    "added_tokens":[
      {"id":1,"special":true,"content":"[CLS]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false},
      {"id":2,"special":true,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false}],
    "normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":null,"decoder":null,
    "model":{"type":"WordLevel","vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"pay":3,"bob":4,"eve":5},"unk_token":"[UNK]"}}"#;

pub fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(TOKENIZER.as_bytes()).unwrap()
}

/// An encoder on this device.
pub fn info(device: &str) -> EncoderInfo {
    EncoderInfo {
        model: "fake".into(),
        digest: "sha256:0".into(),
        device: device.into(),
        precision: "f32".into(),
        backend: "fake",
        width: WIDTH,
        max_length: 8,
        threads: 1,
    }
}

pub fn encodings(batch: &[&[u32]]) -> Vec<Encoding> {
    let row = |id: u32| (0..WIDTH as u32).map(move |i| ((id * 7 + i * 3) % 11) as f32 - 4.5);
    let encode = |ids: &&[u32]| Encoding {
        pooled: row(ids.iter().sum()).collect(),
        tokens: ids.iter().flat_map(|id| row(*id)).collect(),
    };
    batch.iter().map(encode).collect()
}

/// A request, and a write by this tool.
pub fn pair(intent: &str, tool: &str) -> ScoreInput {
    ScoreInput {
        intent: Intent { text: intent.into(), ..Intent::default() },
        action: Action { tool: tool.into(), effect: Effect::Write, ..Action::default() },
        ..ScoreInput::default()
    }
}
