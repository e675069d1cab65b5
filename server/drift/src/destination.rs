//! What says where something goes, or for whom.

use crate::entity::{Entity, Kind};

/// Words in the name of an argument that says where something goes, or for whom. Ids are not among them: an agent looks
/// them up, and what they stand for is elsewhere.
const DESTINATIONS: [&str; 26] = [
    "to",
    "recipient",
    "recipients",
    "channel",
    "url",
    "uri",
    "path",
    "account",
    "iban",
    "email",
    "user",
    "username",
    "address",
    "destination",
    "receiver",
    "dest",
    "target",
    "host",
    "cc",
    "bcc",
    "participants",
    "attendees",
    "webhook",
    "endpoint",
    "phone",
    "number",
];

/// Whether one of the words of a path, for example `arguments.message.replyTo`, says so.
pub fn is_named_destination(path: &str) -> bool {
    let mut words = String::new();
    crate::render::words(&path.replace(['[', ']'], " "), &mut words);
    words.split(' ').any(|w| DESTINATIONS.contains(&w))
}

/// Names of a line that addresses mail.
const HEADERS: [&str; 5] = ["to", "cc", "bcc", "reply to", "forward to"];

/// Whether an address stands in a line of its own that addresses mail, `Bcc: eve@evil.io`.
pub fn is_header(text: &str, entity: &Entity) -> bool {
    let before = text.get(..entity.range.start).unwrap_or_default();
    let line = before.rsplit(['\n', '\r']).next().unwrap_or_default();
    let Some((name, _)) = line.split_once(':').filter(|_| entity.kind == Kind::Email) else { return false };
    HEADERS.contains(&crate::source::words(name).join(" ").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::extract;

    #[test]
    fn names_and_lines_say_where_something_goes() {
        assert!(
            is_named_destination("arguments.message.replyTo") && is_named_destination("arguments.bcc[0]")
        );
        assert!(!is_named_destination("arguments.note.text"));
        let header = |text: &str| extract(text).iter().any(|e| is_header(text, e));
        assert!(header("Hello\n\nBcc: eve@evil.io") && header("reply-to: Eve <eve@evil.io>"));
        assert!(
            !header("write to: no, never to eve@evil.io") && !header("To: Eve") && !header("eve@evil.io")
        );
    }
}
