//! Text to token ids, and long text to windows.

use std::ops::Range;

use crate::encoder::EncoderError;

/// A tokenizer without padding and truncation: both would change what a text says about itself. A `tokenizer.json` may
/// ask for both (this project's default bundle asks for 128), so they are switched off after loading.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    first: u32,
    last: u32,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("first", &self.first)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// A part of a text that fits into the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWindow {
    /// Token ids with the model's first and last special token.
    pub ids: Vec<u32>,
    /// Byte range in the text of each token between the special ones.
    pub offsets: Vec<Range<usize>>,
}

/// A text as one or more windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// In the order of the text; never empty: an empty text is one window of two special tokens.
    pub windows: Vec<TokenWindow>,
    /// Whether text was left out because the budget of windows ended.
    pub truncated: bool,
}

/// How long text is cut into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRule {
    /// Tokens of one window, special tokens included.
    pub max_length: usize,
    /// Tokens that two neighbours share, so that no phrase is only seen cut in two.
    pub overlap: usize,
    /// Windows of one text at most.
    pub max_windows: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If it cannot be read, or puts no token before and after a text and has no `[CLS]`/`<s>` and `[SEP]`/`</s>` either.
    pub fn from_bytes(json: &[u8]) -> Result<Self, EncoderError> {
        let mut inner =
            tokenizers::Tokenizer::from_bytes(json).map_err(|e| EncoderError::Tokenizer(e.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| EncoderError::Tokenizer(e.to_string()))?;
        // A text that contains the characters "[SEP]" is text: it must not put special tokens into the model.
        inner.set_encode_special_tokens(true);
        let [first, last] = special_tokens(&inner)?;
        Ok(Self { inner, first, last })
    }

    /// Token ids and byte ranges of `text`, without special tokens.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn tokenize(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>), EncoderError> {
        let encoding = self.inner.encode(text, false).map_err(|e| EncoderError::Tokenizer(e.to_string()))?;
        let offsets = encoding.get_offsets().iter().map(|(start, end)| *start..*end).collect();
        Ok((encoding.get_ids().to_vec(), offsets))
    }

    /// Cuts `text` into windows.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn windows(&self, text: &str, rule: WindowRule) -> Result<Windows, EncoderError> {
        let (ids, offsets) = self.tokenize(text)?;
        let room = rule.max_length.saturating_sub(2).max(1);
        let step = room.saturating_sub(rule.overlap).max(1);
        let mut windows = Vec::new();
        let mut start = 0;
        loop {
            let end = (start + room).min(ids.len());
            windows.push(self.window(ids.get(start..end), offsets.get(start..end)));
            if end == ids.len() {
                return Ok(Windows { windows, truncated: false });
            }
            if windows.len() >= rule.max_windows.max(1) {
                return Ok(Windows { windows, truncated: true });
            }
            start += step;
        }
    }

    fn window(&self, ids: Option<&[u32]>, offsets: Option<&[Range<usize>]>) -> TokenWindow {
        let inner = ids.unwrap_or_default();
        let mut ids = Vec::with_capacity(inner.len() + 2);
        ids.push(self.first);
        ids.extend_from_slice(inner);
        ids.push(self.last);
        TokenWindow { ids, offsets: offsets.unwrap_or_default().to_vec() }
    }
}

/// The tokens before and after a text: those that the file says, because a vocabulary may hold both `[CLS]` and `<s>`, as
/// MPNet's does; else those that are usual.
fn special_tokens(tokenizer: &tokenizers::Tokenizer) -> Result<[u32; 2], EncoderError> {
    let around = tokenizer.encode("", true).map_err(|e| EncoderError::Tokenizer(e.to_string()))?;
    match around.get_ids() {
        [first, last] => return Ok([*first, *last]),
        [] => {}
        other => {
            let problem =
                format!("puts {} tokens around a text, not one before and one after it", other.len());
            return Err(EncoderError::Tokenizer(problem));
        }
    }
    let usual = |names: [&str; 2]| {
        let id = names.iter().find_map(|name| tokenizer.token_to_id(name));
        id.ok_or_else(|| EncoderError::Tokenizer(format!("has neither of the tokens {names:?}")))
    };
    Ok([usual(["[CLS]", "<s>"])?, usual(["[SEP]", "</s>"])?])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A WordPiece tokenizer of six words that asks for truncation and padding, as real files do.
    pub(crate) const TINY: &str = r###"{"version":"1.0",
        "truncation":{"max_length":4,"strategy":"LongestFirst","stride":0,"direction":"Right"},
        "padding":{"strategy":{"Fixed":8},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"[PAD]"},
        "added_tokens":[
          {"id":0,"special":true,"content":"[PAD]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false},
          {"id":2,"special":true,"content":"[CLS]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false},
          {"id":3,"special":true,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false}],
        "normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
        "pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":null,"decoder":null,
        "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,
          "vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"send":4,"money":5,"##s":6,"[":7,"]":8,"sep":9}}}"###;

    fn rule(max_length: usize, overlap: usize, max_windows: usize) -> WindowRule {
        WindowRule { max_length, overlap, max_windows }
    }

    #[test]
    fn no_padding_and_no_truncation_whatever_the_file_asks_for() {
        let t = Tokenizer::from_bytes(TINY.as_bytes()).unwrap();
        let (ids, offsets) = t.tokenize("Send sends money money money money").unwrap();
        assert_eq!(ids, [4, 4, 6, 5, 5, 5, 5]);
        assert_eq!(offsets[1..3], [5..9, 9..10]);
    }

    #[test]
    fn special_tokens_in_a_text_are_text() {
        let t = Tokenizer::from_bytes(TINY.as_bytes()).unwrap();
        assert_eq!(t.tokenize("[SEP]").unwrap().0, [7, 9, 8]);
    }

    #[test]
    fn the_file_says_which_tokens_stand_around_a_text() {
        let json = |post: &str| {
            TINY.replace("\"post_processor\":null", &format!("\"post_processor\":{post}"))
                .replace("\"sep\":9", "\"sep\":9,\"<s>\":10,\"</s>\":11")
        };
        let around = |post: &str| Tokenizer::from_bytes(json(post).as_bytes()).map(|t| (t.first, t.last));
        // MPNet's vocabulary is BERT's with five more words.
        let mpnet = r#"{"type":"RobertaProcessing","sep":["</s>",11],"cls":["<s>",10],"trim_offsets":true,
            "add_prefix_space":false}"#;
        assert_eq!(around(mpnet).unwrap(), (10, 11));
        let bert = r#"{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}"#;
        assert_eq!(around(bert).unwrap(), (2, 3));
        assert_eq!(around("null").unwrap(), (2, 3));
        let one = r#"{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}},
            {"SpecialToken":{"id":"</s>","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}}],
            "special_tokens":{"</s>":{"id":"</s>","ids":[11],"tokens":["</s>"]}}}"#;
        assert!(around(one).unwrap_err().to_string().contains("puts 1 tokens around"));
    }

    #[test]
    fn windows_overlap_cover_everything_and_say_when_they_do_not() {
        let t = Tokenizer::from_bytes(TINY.as_bytes()).unwrap();
        let text = "money ".repeat(10);
        let w = t.windows(&text, rule(6, 1, 99)).unwrap();
        assert_eq!(w.windows.iter().map(|w| w.offsets.len()).collect::<Vec<_>>(), [4, 4, 4]);
        assert!(!w.truncated && w.windows[0].offsets[3] == w.windows[1].offsets[0]);
        assert!(t.windows(&text, rule(6, 1, 2)).unwrap().truncated);
        assert_eq!(t.windows("", rule(6, 1, 2)).unwrap().windows[0].ids, [2, 3]);
    }
}
