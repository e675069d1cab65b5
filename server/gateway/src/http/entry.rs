//! Who comes in: bearer token, `x-api-key` or client certificate, and what the headers say besides.

use std::sync::Arc;

use axum::http::{Extensions, HeaderMap};
use tonic::Request;
use tonic::metadata::MetadataMap;

use super::door::Door;
use super::error::HttpError;
use crate::caller::Caller;
use crate::callers::{Callers, Identity, NotLetIn, Role, bearer};
use crate::errors;

/// The header that callers use who cannot send `authorization`.
const API_KEY: &str = "x-api-key";

/// The other end of a connection; in the extensions of its requests.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Its certificate, DER, where it showed one that our authorities signed.
    pub certificate: Option<Arc<[u8]>>,
}

/// Whose token a request carries. Two that differ are none: which one an intermediary would believe is unknown.
fn token(headers: &HeaderMap) -> Option<&str> {
    let mut keys = headers.get_all(API_KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (None, _) => None,
        (Some(key), None) => Some(key.to_str().unwrap_or_default().trim()),
        (Some(_), Some(_)) => Some(""),
    };
    match (bearer(headers), key) {
        (Some(bearer), Some(key)) if bearer != key => Some(""),
        (bearer, key) => bearer.or(key),
    }
}

/// Lets a request in, or does not.
///
/// # Errors
/// 401, 403.
pub fn identify(
    callers: &Callers,
    headers: &HeaderMap,
    extensions: &Extensions,
    role: Option<Role>,
) -> Result<Option<Arc<Identity>>, HttpError> {
    let certificate = extensions.get::<Peer>().and_then(|peer| peer.certificate.as_deref());
    callers.identify(token(headers), certificate, role).map_err(|why| {
        let said = why.to_string();
        HttpError::from(match why {
            NotLetIn::Unknown => errors::unauthenticated(&said),
            NotLetIn::Forbidden => errors::forbidden(&said),
        })
    })
}

/// Who asks, on whose account, how urgently, for which intent: the headers mean what the metadata of a gRPC call does.
///
/// # Errors
/// 400 that names the header, 401, 403.
pub fn caller(
    callers: &Callers,
    headers: &HeaderMap,
    extensions: &Extensions,
    door: Door,
) -> Result<Caller, HttpError> {
    let identity = identify(callers, headers, extensions, Some(door.role()))?;
    let mut known = Extensions::new();
    identity.map(|identity| known.insert(identity));
    let request = Request::from_parts(MetadataMap::from_headers(headers.clone()), known, ());
    let caller = Caller::of(&request, door.lane())?;
    Ok(Caller { surface: door.surface(), ..caller })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        pairs.iter().for_each(|(name, value)| {
            headers.append(*name, value.parse().unwrap());
        });
        headers
    }

    #[test]
    fn a_key_stands_for_a_bearer_token_and_two_that_differ_are_none() {
        let read = |pairs: &[(&'static str, &str)]| token(&headers(pairs)).map(str::to_owned);
        assert_eq!(read(&[("x-api-key", "abc")]), Some("abc".into()));
        assert_eq!(read(&[("authorization", "Bearer abc")]), Some("abc".into()));
        assert_eq!(read(&[("authorization", "Basic xyz"), ("x-api-key", "abc")]), Some("abc".into()));
        assert_eq!(read(&[("authorization", "Bearer abc"), ("x-api-key", "abc")]), Some("abc".into()));
        assert_eq!(read(&[("authorization", "Bearer abc"), ("x-api-key", "xyz")]), Some(String::new()));
        assert_eq!(read(&[("x-api-key", "abc"), ("x-api-key", "abc")]), Some(String::new()));
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn headers_mean_what_metadata_does() {
        let headers = headers(&[("rhumb-lane", "bulk"), ("rhumb-tenant", "team-7"), ("txn-token", "a.b.c")]);
        let caller = caller(&Callers::default(), &headers, &Extensions::new(), Door::ClaudeCode).unwrap();
        assert_eq!((caller.lane, caller.tenant.as_str()), (rhumb_engine::Lane::Bulk, "team-7"));
        assert_eq!((caller.surface, caller.carried.tokens.len()), (crate::surface::Surface::ClaudeCode, 1));
        let bad = self::headers(&[("rhumb-lane", "urgent")]);
        let error = self::caller(&Callers::default(), &bad, &Extensions::new(), Door::Score).unwrap_err();
        assert_eq!((error.status.as_u16(), error.field.as_str()), (400, "rhumb-lane"));
    }
}
