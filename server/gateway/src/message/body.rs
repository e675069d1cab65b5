//! The body: whether it is whole, what it is said to be, and its bytes without their encoding.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::GzDecoder;

use super::json::{self, Document};
use super::{Broken, HttpMessage};

/// Members of a gzip body. One is usual; each costs the setting up of a decoder.
const MEMBERS: usize = 16;

/// A whole body.
pub(super) struct Body<'a> {
    pub bytes: Cow<'a, [u8]>,
    pub content: Content,
    /// Whether its length was announced: then it cannot have been cut.
    pub has_length: bool,
}

/// What a body is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// The type in lower case, without parameters; empty where there is none.
    pub essence: String,
    /// Of a multipart body.
    pub boundary: Option<String>,
    /// Whether it is text in UTF-8, as far as that was said.
    pub is_utf8: bool,
}

impl Content {
    pub fn of(value: &str) -> Self {
        let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
        let charset = parameter(parameters, "charset");
        let is_utf8 =
            |name: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|own| own.eq_ignore_ascii_case(name));
        Self {
            essence: essence.trim().to_ascii_lowercase(),
            boundary: parameter(parameters, "boundary").map(str::to_owned),
            is_utf8: charset.is_none_or(is_utf8),
        }
    }

    pub fn is_json(&self) -> bool {
        self.essence == "application/json" || self.essence == "text/json" || self.essence.ends_with("+json")
    }

    pub fn is_grpc(&self) -> bool {
        self.essence.starts_with("application/grpc")
    }

    /// Whether JSON may follow: nothing else was said.
    pub fn allows_json(&self) -> bool {
        self.is_utf8 && (self.essence.is_empty() || self.is_json())
    }
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let pairs = parameters.split(';').filter_map(|pair| pair.split_once('='));
    let mut own = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    own.next().map(|(_, value)| value.trim().trim_matches('"'))
}

impl<'a> Body<'a> {
    pub fn of(message: &HttpMessage<'a>, max_decoded_bytes: usize) -> Result<Self, Broken> {
        let headers = message.headers;
        if headers.is_repeated("content-type") {
            return Err(Broken::unparsable("header `content-type` stands twice"));
        }
        let content = Content::of(headers.one("content-type").unwrap_or_default());
        check_whole(message, &content)?;
        let bytes = decoded(message, max_decoded_bytes)?;
        Ok(Self { bytes, content, has_length: headers.has("content-length") })
    }

    /// The body as JSON, where it may be.
    pub fn parsed(&self) -> Option<Result<Document, Broken>> {
        let is_json = self.content.is_json() && !self.bytes.is_empty();
        (is_json || self.begins_as_json()).then(|| self.document())
    }

    /// Objects and lists alone can be calls.
    fn begins_as_json(&self) -> bool {
        let first = self.bytes.iter().find(|b| !b.is_ascii_whitespace());
        matches!(first, Some(b'{' | b'['))
    }

    /// The body as JSON.
    pub fn document(&self) -> Result<Document, Broken> {
        json::document(&self.bytes).map_err(|fault| {
            let detail = format!("the JSON of the body {}", fault.problem);
            if fault.at_end && !self.has_length {
                Broken::truncated(detail)
            } else {
                Broken::unparsable(detail)
            }
        })
    }
}

/// Enforcement points do not always say that a body was cut, and what they say may be wrong.
fn check_whole(message: &HttpMessage<'_>, content: &Content) -> Result<(), Broken> {
    let (headers, bytes) = (message.headers, message.body.len());
    if headers.lists("x-envoy-auth-partial-body", "true") {
        return Err(Broken::truncated("the enforcement point handed on a part of the body"));
    }
    let mut lengths = headers.get_all("content-length").flat_map(|value| value.split(','));
    if lengths.any(|length| length.trim().parse() != Ok(bytes)) {
        return Err(Broken::truncated("header `content-length` differs from the bytes that came"));
    }
    if headers.has("content-length") {
        return Ok(());
    }
    if is_at_limit(bytes, message.buffer_limit) {
        return Err(Broken::truncated("the body has no length and ends at the limit of a buffer"));
    }
    if bytes == 0 && is_announced(message, content) {
        return Err(Broken::truncated("a body was announced, and none came"));
    }
    Ok(())
}

fn is_at_limit(bytes: usize, limit: Option<usize>) -> bool {
    const LEAST: usize = 4096;
    const STEP: usize = 64 * 1024;
    match limit {
        Some(limit) => bytes >= limit && limit > 0,
        // Limits are round.
        None => bytes >= LEAST && (bytes.is_power_of_two() || bytes.is_multiple_of(STEP)),
    }
}

/// An enforcement point that is not set up to hand on bodies sends none. The bodies of calls that stream never come.
fn is_announced(message: &HttpMessage<'_>, content: &Content) -> bool {
    let has_body = matches!(message.method, "POST" | "PUT" | "PATCH") && !content.essence.is_empty();
    !content.is_grpc() && (has_body || message.headers.has("transfer-encoding"))
}

fn decoded<'a>(message: &HttpMessage<'a>, most: usize) -> Result<Cow<'a, [u8]>, Broken> {
    let encodings = message.headers.get_all("content-encoding").flat_map(|value| value.split(','));
    let mut encodings =
        encodings.map(str::trim).filter(|e| !e.is_empty() && !e.eq_ignore_ascii_case("identity"));
    let is_gzip = |e: &str| e.eq_ignore_ascii_case("gzip") || e.eq_ignore_ascii_case("x-gzip");
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(Cow::Borrowed(message.body)),
        (Some(_), None) if message.body.is_empty() => Ok(Cow::Borrowed(message.body)),
        (Some(encoding), None) if is_gzip(encoding) => gunzip(message, most).map(Cow::Owned),
        _ => Err(Broken::unparsable("the body has an encoding other than gzip")),
    }
}

fn gunzip(message: &HttpMessage<'_>, most: usize) -> Result<Vec<u8>, Broken> {
    let (mut rest, mut bytes) = (message.body, Vec::new());
    for _ in 0..MEMBERS {
        let mut member = GzDecoder::new(rest);
        let left = (most - bytes.len()) as u64;
        (&mut member).take(left + 1).read_to_end(&mut bytes).map_err(|e| {
            let may_be_cut =
                e.kind() == std::io::ErrorKind::UnexpectedEof && !message.headers.has("content-length");
            if may_be_cut {
                Broken::truncated("the gzip body ends too early")
            } else {
                Broken::unparsable("the body is not gzip")
            }
        })?;
        if bytes.len() > most {
            return Err(Broken::unparsable(format!(
                "the body is more than {most} bytes long without its encoding"
            )));
        }
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(bytes);
        }
    }
    Err(Broken::unparsable(format!("more than {MEMBERS} gzip members")))
}

/// Whether the connection becomes one that nobody reads. Only of requests that carry nothing themselves: a header must not
/// take a call out of sight.
pub(super) fn is_upgrade(message: &HttpMessage<'_>) -> bool {
    let is_opening = message.method == "GET" && message.headers.lists("upgrade", "websocket");
    let has_length = message.headers.one("content-length").is_some_and(|length| length != "0");
    let has_body = !message.body.is_empty() || has_length || message.headers.has("transfer-encoding");
    message.method == "CONNECT" || (is_opening && !has_body)
}
