//! Envoy's metadata: structures of protobuf, whose numbers are all `f64`.

use std::collections::HashMap;

use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use rhumb_proto::v1::ScoreResponse;
use serde_json::{Map, Number, Value as Json};

use crate::told;

/// The one key of ours, for example in an access log: `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:rhumb)%`.
const KEY: &str = "rhumb";
/// Levels of what is read; deeper down nothing is looked for.
const DEPTH: usize = 32;

/// What the operator's log and filters are told of a decision.
pub(super) fn of(told: &ScoreResponse) -> Struct {
    let mut facts = told::facts(told);
    let intent = told.intent.as_ref().map(|intent| ("intent_id", Json::from(intent.intent_id.as_str())));
    let chain = told.chain.iter().flat_map(|chain| {
        [("chain_id", Json::from(chain.chain_id.as_str())), ("hop", Json::from(chain.hop))]
    });
    facts.extend(intent.into_iter().chain(chain).map(|(key, value)| (key.to_owned(), value)));
    named(facts)
}

/// The same where there is no decision but a reason.
pub(super) fn of_reason(reason: &str) -> Struct {
    let facts = [("reason_code", Json::from(reason)), ("enforced", Json::from(true))];
    named(facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Facts are flat.
fn named(facts: Map<String, Json>) -> Struct {
    let kind = |value: Json| match value {
        Json::Bool(is) => Kind::BoolValue(is),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        other => Kind::StringValue(other.to_string()),
    };
    let fields = facts.into_iter().map(|(key, value)| (key, Value { kind: Some(kind(value)) })).collect();
    let own = Value { kind: Some(Kind::StructValue(Struct { fields })) };
    Struct { fields: HashMap::from([(KEY.to_owned(), own)]) }
}

/// Metadata as JSON; whole numbers as such, as they stood in a token.
pub(super) fn json(value: &Value) -> Json {
    at_depth(value, 0)
}

fn at_depth(value: &Value, depth: usize) -> Json {
    if depth > DEPTH {
        return Json::Null;
    }
    let deeper = |value| at_depth(value, depth + 1);
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(is)) => Json::Bool(*is),
        Some(Kind::NumberValue(number)) => self::number(*number),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::ListValue(list)) => list.values.iter().map(deeper).collect(),
        Some(Kind::StructValue(own)) => {
            own.fields.iter().map(|(key, value)| (key.clone(), deeper(value))).collect()
        }
    }
}

fn number(number: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = number.fract() == 0.0 && number.abs() < EXACT;
    // In this range the conversion is exact.
    let whole = whole.then(|| Number::from(number as i64));
    whole.or_else(|| Number::from_f64(number)).map_or(Json::Null, Json::Number)
}
