//! Kinds of records, by the names that they have in the log.

use crate::record::Event;

/// The kind of a record. An amended intent is recorded as an intent; here it has a name of its own beside that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// An action was scored, or could not be.
    Decision,
    /// An intent was registered or amended.
    Intent,
    /// An intent was amended.
    Amended,
    /// An intent was ended.
    Revoked,
    /// Keys were tied to an intent.
    Bound,
    /// Somebody tried to tie a key to another intent.
    BindingRefused,
    /// A token was issued for an intent.
    TokenIssued,
    /// What a tool says of itself was seen for the first time.
    ToolPinned,
    /// A tool says something else of itself than what holds.
    ToolChanged,
    /// A signing key came into use.
    Key,
    /// Signs everything before.
    Checkpoint,
    /// Records were removed by the retention rule.
    Retired,
    /// Texts were made unreadable by the retention rule.
    TextErased,
    /// A server opened the ledger.
    Opened,
    /// A person accepted that the log ends before its signed end.
    EndAccepted,
    /// A file of the log begins.
    Segment,
}

impl RecordKind {
    /// All of them with their names, in which words may also be joined by `-` or a space.
    pub const NAMED: [(&'static str, Self); 16] = [
        ("decision", Self::Decision),
        ("intent", Self::Intent),
        ("amended", Self::Amended),
        ("revoked", Self::Revoked),
        ("bound", Self::Bound),
        ("binding_refused", Self::BindingRefused),
        ("token_issued", Self::TokenIssued),
        ("tool_pinned", Self::ToolPinned),
        ("tool_changed", Self::ToolChanged),
        ("key", Self::Key),
        ("checkpoint", Self::Checkpoint),
        ("retired", Self::Retired),
        ("text_erased", Self::TextErased),
        ("opened", Self::Opened),
        ("end_accepted", Self::EndAccepted),
        ("segment", Self::Segment),
    ];

    /// The kind with this name.
    pub fn named(text: &str) -> Option<Self> {
        let text = text.replace(['-', ' '], "_");
        Self::NAMED.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The kind of what happened, as narrow as there is one.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::Decision(_) => Self::Decision,
            Event::Intent(intent) if intent.version > 1 => Self::Amended,
            Event::Intent(_) => Self::Intent,
            Event::Revoked(_) => Self::Revoked,
            Event::Bound(_) => Self::Bound,
            Event::BindingRefused(_) => Self::BindingRefused,
            Event::TokenIssued(_) => Self::TokenIssued,
            Event::ToolPinned(_) => Self::ToolPinned,
            Event::ToolChanged(_) => Self::ToolChanged,
            Event::Key(_) => Self::Key,
            Event::Checkpoint(_) => Self::Checkpoint,
            Event::Retired(_) => Self::Retired,
            Event::TextErased(_) => Self::TextErased,
            Event::Opened(_) => Self::Opened,
            Event::EndAccepted(_) => Self::EndAccepted,
            Event::Segment(_) => Self::Segment,
        }
    }

    /// Whether records of `kind` are among those of this one.
    pub fn holds(self, kind: Self) -> bool {
        self == kind || (self == Self::Intent && kind == Self::Amended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_name_that_the_log_gives_it() {
        for (name, kind) in RecordKind::NAMED {
            assert_eq!((RecordKind::named(name), kind.name()), (Some(kind), name));
            let event = |kind: &str| format!("{{\"kind\":{kind:?},\"data\":{{}}}}");
            let read = |kind: &str| serde_json::from_str::<Event>(&event(kind)).unwrap_err().to_string();
            let known = !read(name).contains("unknown variant");
            assert_eq!(known, kind != RecordKind::Amended, "{name}: {}", read(name));
        }
        assert_eq!(RecordKind::named("binding refused"), Some(RecordKind::BindingRefused));
        assert_eq!(RecordKind::named("binding-refused"), Some(RecordKind::BindingRefused));
        assert_eq!(RecordKind::named("nonsense"), None);
    }
}
