//! What Envoy says of a request.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue, Metadata};
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use serde_json::{Map, Value};

use super::metadata;
use crate::message::{Headers, HttpMessage};

/// Where Envoy's filter `jwt_authn` puts the claims of tokens whose signature it has verified.
const JWT: &str = "envoy.filters.http.jwt_authn";
/// Names of headers that are ours.
const OURS: &str = "x-rhumb-";

/// One HTTP request, as Envoy saw it.
pub(super) struct Seen {
    http: HttpRequest,
    headers: Headers,
    metadata: Metadata,
    /// What the operator says of the route.
    pub extensions: HashMap<String, String>,
}

impl Seen {
    /// `None` where there is no HTTP request: Envoy's network filter of the same name asks about connections.
    pub fn of(request: CheckRequest) -> Option<Self> {
        let attributes = request.attributes?;
        let mut http = attributes.request?.http?;
        let headers = headers(std::mem::take(&mut http.headers), http.header_map.take());
        let metadata = attributes.metadata_context.unwrap_or_default();
        Some(Self { http, headers, metadata, extensions: attributes.context_extensions })
    }

    /// The request itself. Envoy's `size` is not read: over HTTP/2 it is not that of the body.
    pub fn message(&self) -> HttpMessage<'_> {
        let HttpRequest { method, scheme, host, path, body, raw_body, .. } = &self.http;
        HttpMessage {
            method,
            scheme,
            host,
            path,
            headers: &self.headers,
            // Which of the two is filled the operator says (`pack_as_bytes`).
            body: if raw_body.is_empty() { body.as_bytes() } else { raw_body },
            buffer_limit: None,
        }
    }

    /// Envoy's random number of the stream: the same request is asked about under it again, and no agent can choose it, as
    /// it could `x-request-id`.
    pub fn stream_id(&self) -> String {
        self.http.id.clone()
    }

    /// Names of headers that pretend to be ours. To many servers `_` is the same as `-`.
    pub fn forged(&self) -> Vec<&str> {
        let names = self.headers.iter().map(|(name, _)| name);
        let mut names: Vec<_> = names.filter(|name| name.replace('_', "-").starts_with(OURS)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Claims of tokens whose signature Envoy has verified.
    pub fn claims(&self) -> Vec<Map<String, Value>> {
        let own = self.metadata.filter_metadata.get(JWT).into_iter();
        let values = own.flat_map(|namespace| namespace.fields.values()).map(metadata::json);
        let claims = values.filter_map(|value| match value {
            Value::Object(claims) => Some(claims),
            _ => None,
        });
        // Beside claims stand headers of tokens, and why others failed.
        claims.filter(|claims| claims.contains_key("iss")).collect()
    }
}

/// The operator chooses between two forms (`encode_raw_headers`): the map has a line for each that stood in the request.
fn headers(joined: HashMap<String, String>, map: Option<HeaderMap>) -> Headers {
    match map {
        Some(map) if !map.headers.is_empty() => map.headers.into_iter().map(line).collect(),
        _ => joined.into_iter().collect(),
    }
}

fn line(header: HeaderValue) -> (String, String) {
    let HeaderValue { key, value, raw_value } = header;
    let value = if value.is_empty() { String::from_utf8_lossy(&raw_value).into_owned() } else { value };
    (key, value)
}
