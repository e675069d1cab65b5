//! What a tool does, in words: whether the request asks for anything of the kind.
//!
//! A tool's name says what it does with a verb (`send_money`, `createEvent`). People ask for the same thing with other
//! words, so verbs are compared by class. The classes are language, not tools: no name of a tool is in them.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::source::{SourceIndex, stem};

/// Words for the same kind of doing, one class a line; a word may stand in several.
const CLASSES: [&str; 34] = [
    "send mail email message text write notify tell inform forward share ping dm respond reply post",
    "post publish upload share announce put write submit broadcast tweet blog",
    "reply respond answer comment react",
    "create make add new open start build generate set setup establish write draft compose register initialize produce",
    "schedule book plan arrange calendar event remind reminder appointment meeting set",
    "reserve book reservation stay table room hotel ticket rent",
    "buy purchase order checkout get shop pay",
    "pay transfer send money wire settle refund deposit bill invoice fund donate payment",
    "delete remove erase drop clear discard cancel wipe purge uninstall trash rid kick",
    "cancel abort stop call revoke terminate void end drop unsubscribe undo",
    "update modify change edit set adjust alter rename replace correct fix switch revise amend refresh upgrade move",
    "move transfer relocate put place shift",
    "copy duplicate clone backup replicate save",
    "save store keep record write log persist archive bookmark",
    "search find look locate seek discover browse query identify which where recommend suggest",
    "get retrieve fetch read show see view check give tell obtain display know find look what provide info information details open",
    "list show all enumerate display which see view what",
    "check verify validate confirm test ensure see whether inspect status",
    "calculate compute evaluate determine estimate solve sum total count average how much many find convert what",
    "convert translate transform change turn express conversion",
    "compare difference contrast versus better match rank",
    "analyze analyse examine review assess study summarize inspect evaluate investigate report analysis",
    "summarize summary condense digest recap overview shorten",
    "predict forecast estimate project expect",
    "play listen watch start music song stream",
    "exchange swap trade replace change",
    "return refund back send exchange",
    "invite add join include enroll register bring subscribe",
    "login log authenticate sign access password credential",
    "enable activate turn switch start on allow unlock",
    "disable deactivate turn switch stop off block lock mute",
    "download fetch get save install pull",
    "run execute perform launch start do invoke trigger",
    "assign give grant allocate delegate share permission allow",
];

/// Classes of each word, by stem.
static BY_STEM: LazyLock<HashMap<String, u64>> = LazyLock::new(|| {
    let mut classes: HashMap<String, u64> = HashMap::new();
    for (class, words) in CLASSES.iter().enumerate() {
        for word in words.split(' ') {
            *classes.entry(stem(word)).or_default() |= 1 << class;
        }
    }
    classes
});

/// How well the request asks for what a tool of this name does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerbMatch {
    /// 1 if the verb itself stands in the request, 0 if not.
    pub exact: f32,
    /// 1 if a word of one of the verb's classes does.
    pub class: f32,
}

/// Compares the verb of `tool` with the words of the request; `None` where the name holds no verb that is known.
pub fn verb_match(tool: &str, request: &SourceIndex) -> Option<VerbMatch> {
    let mut words = String::new();
    crate::render::words(tool, &mut words);
    let verb = words.split(' ').find(|w| BY_STEM.contains_key(&stem(w)))?;
    let classes = BY_STEM.get(&stem(verb)).copied().unwrap_or_default();
    let exact = request.has_stem(&stem(verb));
    let class = exact || request.stems().any(|s| BY_STEM.get(s).is_some_and(|c| c & classes != 0));
    Some(VerbMatch { exact: f32::from(u8::from(exact)), class: f32::from(u8::from(class)) })
}
