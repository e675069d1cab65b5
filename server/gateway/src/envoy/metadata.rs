//! Envoy's metadata: structures of protobuf, whose numbers are all `f64`.

use std::collections::HashMap;

use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use rhumb_proto::v1::{Mode, ScoreResponse};
use serde_json::{Number, Value as Json};

/// The one key of ours, for example in an access log: `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:rhumb)%`.
const KEY: &str = "rhumb";
/// Levels of what is read; deeper down nothing is looked for.
const DEPTH: usize = 32;

/// What the operator's log and filters are told of a decision. The reason is the recorded one.
pub(super) fn of(told: &ScoreResponse) -> Struct {
    let mut fields = Fields::default();
    fields.text("decision_id", &told.decision_id);
    fields.text("verdict", told.verdict().as_str_name());
    fields.text("status", told.status().as_str_name());
    fields.text("reason_code", &told.reason_code);
    fields.number("drift", told.drift);
    fields.number("threshold", told.threshold);
    fields.text("provenance", told.provenance().as_str_name());
    fields.text("intent_id", told.intent.as_ref().map_or("", |intent| &intent.intent_id));
    fields.text("chain_id", told.chain.as_ref().map_or("", |chain| &chain.chain_id));
    fields.number("hop", told.chain.as_ref().map(|chain| f64::from(chain.hop)));
    fields.text("model", told.model.as_ref().map_or("", |model| &model.name));
    fields.put("enforced", Kind::BoolValue(told.mode() == Mode::Enforce));
    fields.named()
}

/// The same where there is no decision but a reason.
pub(super) fn of_reason(reason: &str) -> Struct {
    let mut fields = Fields::default();
    fields.text("reason_code", reason);
    fields.put("enforced", Kind::BoolValue(true));
    fields.named()
}

#[derive(Default)]
struct Fields(HashMap<String, Value>);

impl Fields {
    fn put(&mut self, key: &str, kind: Kind) {
        self.0.insert(key.to_owned(), Value { kind: Some(kind) });
    }

    /// What there is not is not said.
    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, Kind::StringValue(text.to_owned()));
        }
    }

    fn number(&mut self, key: &str, number: Option<f64>) {
        number.into_iter().for_each(|number| self.put(key, Kind::NumberValue(number)));
    }

    fn named(self) -> Struct {
        let own = Value { kind: Some(Kind::StructValue(Struct { fields: self.0 })) };
        Struct { fields: HashMap::from([(KEY.to_owned(), own)]) }
    }
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
