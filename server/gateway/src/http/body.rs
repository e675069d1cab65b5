//! The body of a request: JSON of a bounded size, in bounded time.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;

use super::error::HttpError;

/// Of what is too long, so many times the limit is still read: a client that writes before it reads sees the answer then,
/// and not a connection that was reset.
const READ_ON: usize = 4;

/// Reads the body.
///
/// # Errors
/// 415 where it is not said to be JSON, 413 where it is too long, 408 where it comes too slowly, 400 where it breaks off.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    within: Duration,
) -> Result<Vec<u8>, HttpError> {
    check_type(headers)?;
    let collected = tokio::time::timeout(within, collect(headers, body, most)).await;
    let slow =
        |_| HttpError::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not arrive in time");
    collected.map_err(slow)?
}

async fn collect(headers: &HeaderMap, mut body: Body, most: usize) -> Result<Vec<u8>, HttpError> {
    let said = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let read_on = most.saturating_mul(READ_ON);
    if said.is_some_and(|said| said > read_on) {
        return Err(too_long(most));
    }
    let (mut bytes, mut length) = (Vec::with_capacity(said.unwrap_or_default().min(most)), 0_usize);
    while let Some(frame) = body.frame().await {
        let broken = |_| HttpError::new(StatusCode::BAD_REQUEST, "invalid_argument", "the body broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        length = length.saturating_add(data.len());
        match length {
            length if length <= most => bytes.extend_from_slice(&data),
            length if length <= read_on => bytes = Vec::new(),
            _ => break,
        }
    }
    if length > most { Err(too_long(most)) } else { Ok(bytes) }
}

fn too_long(most: usize) -> HttpError {
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", format!("more than {most} bytes"))
}

fn check_type(headers: &HeaderMap) -> Result<(), HttpError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let unsupported =
        |message: &str| HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message);
    if !text(CONTENT_TYPE).is_some_and(is_json) {
        return Err(unsupported("content-type must be application/json"));
    }
    match text(CONTENT_ENCODING) {
        Some(encoding) if !encoding.trim().eq_ignore_ascii_case("identity") => {
            Err(unsupported("a compressed body is not read"))
        }
        _ => Ok(()),
    }
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_utf8 = |part: &str| match part.split_once('=') {
        Some((key, value)) if key.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    };
    let suffix =
        kind.strip_prefix("application/").is_some_and(|name| name == "json" || name.ends_with("+json"));
    suffix && parts.all(is_utf8)
}

/// The text of a body.
///
/// # Errors
/// 400 where it is no UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, HttpError> {
    let place =
        |e: std::str::Utf8Error| format!("the body is not valid UTF-8 from byte {} on", e.valid_up_to());
    std::str::from_utf8(bytes)
        .map_err(|e| HttpError::new(StatusCode::BAD_REQUEST, "invalid_argument", place(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_said_in_many_ways() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json"] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["", "text/plain", "application/jsonx", "application/json; charset=latin1", "json"] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_limit_itself_is_taken_and_one_byte_more_is_not() {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/json".parse().unwrap())]);
        let read = async |length: usize| {
            read(&headers, Body::from(vec![b' '; length]), 10, Duration::from_secs(5)).await
        };
        assert_eq!(read(10).await.unwrap().len(), 10);
        assert_eq!(read(11).await.unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(read(100).await.unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}
