//! What tools say of themselves: remembered for scoring, and pinned, so that a server that rewrites a description is noticed.
//!
//! Descriptions are text of the server's, and trusted as little as that: they tell what a tool is for, and never vouch.

use std::sync::Arc;

use moka::sync::Cache;
use rhumb_drift::Effect;
use rhumb_drift::render::floor_boundary;
use rhumb_ledger::intent::action::value_digest;
use rhumb_ledger::record::ToolSeen;
use rhumb_ledger::tools;
use rhumb_proto::v1;
use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::convert;
use crate::decide::Decider;
use crate::errors::GatewayError;
use crate::policy::Policies;

/// Megabytes of descriptions that are remembered.
const MEGABYTES: u64 = 32;
/// What the cache spends on a tool, besides its words.
const ENTRY: usize = 256;

/// Bytes of a description, and of a schema, that every decision about the tool carries.
const WORDS_BYTES: usize = 16 << 10;
const SCHEMA_BYTES: usize = 64 << 10;
/// Levels of a schema: deeper ones would make each call of the tool one that cannot be read.
const SCHEMA_DEPTH: usize = 24;

/// Tenant, server, tool.
type Key = (String, String, String);

/// What a tool says of itself, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Described {
    /// In words; those beyond 16 KiB are left out.
    pub description: String,
    /// The JSON schema of its arguments; absent where it is longer than 64 KiB, or too deep to be looked at.
    pub schema: Option<Map<String, Value>>,
    /// What its hints say that it does.
    pub effect: Effect,
    /// `sha256:` and the digest of the canonical JSON of all that it says: description, schema and annotations.
    pub digest: String,
}

impl Described {
    /// Of an entry of a server's list.
    pub fn of(tool: &Value) -> Self {
        let [description, schema, annotations] =
            ["description", "inputSchema", "annotations"].map(|name| tool.get(name).unwrap_or(&Value::Null));
        let all = json!({"description": description, "inputSchema": schema, "annotations": annotations});
        let words = description.as_str().unwrap_or_default();
        let is_small = depth(schema) <= SCHEMA_DEPTH && schema.to_string().len() <= SCHEMA_BYTES;
        Self {
            description: words.get(..floor_boundary(words, WORDS_BYTES)).unwrap_or_default().to_owned(),
            schema: schema.as_object().filter(|_| is_small).cloned(),
            effect: hinted(annotations),
            digest: value_digest(&all),
        }
    }

    fn bytes(&self) -> usize {
        self.description.len()
            + self.schema.as_ref().map_or(0, |s| Value::Object(s.clone()).to_string().len())
    }
}

/// Descriptions by tenant, server and tool.
#[derive(Clone)]
pub struct Tools {
    known: Cache<Key, Arc<Described>>,
}

impl Default for Tools {
    fn default() -> Self {
        let weigh = |(tenant, server, tool): &Key, described: &Arc<Described>| {
            let names = tenant.len() + server.len() + tool.len();
            u32::try_from(names + described.bytes() + ENTRY).unwrap_or(u32::MAX)
        };
        Self { known: Cache::builder().max_capacity(MEGABYTES << 20).weigher(weigh).build() }
    }
}

impl Tools {
    /// Fills in what a request leaves out about its tool. That it only reads is the server's own word, and taken for it only
    /// where the operator trusts such words; that it writes can only make the policy stricter.
    pub fn describe(&self, request: &mut v1::ScoreRequest, tenant: &str, trusts_hints: bool) {
        let Some(action) = &mut request.action else { return };
        if action.server.is_empty() || action.tool.is_empty() || !action.tool_description.is_empty() {
            return;
        }
        let key = (tenant.to_owned(), action.server.clone(), action.tool.clone());
        let Some(described) = self.known.get(&key) else { return };
        action.tool_description.clone_from(&described.description);
        if action.input_schema.is_none() {
            action.input_schema = described.schema.clone().and_then(convert::message_object);
        }
        let is_taken = described.effect == Effect::Write || trusts_hints;
        if action.effect() == v1::Effect::Unknown && is_taken {
            action.effect = convert::effect_message(described.effect).into();
        }
    }
}

impl Decider {
    /// Remembers what a server says of its tools, pins what is new and notes what changed.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub async fn show_tools(
        &self,
        caller: &Caller,
        server: &str,
        listed: Vec<(String, Described)>,
    ) -> Result<(), GatewayError> {
        let news = self.news(listed.iter().map(|(tool, d)| seen(caller, server, tool, &d.digest)))?;
        for (tool, described) in listed {
            let key = (caller.tenant.as_str().to_owned(), server.to_owned(), tool);
            self.site().tools.known.insert(key, Arc::new(described));
        }
        self.pin(news).await
    }

    /// The digest of what a tool says of itself, where that is not what was pinned.
    pub(crate) fn changed_tool(
        &self,
        policies: &Policies,
        request: &v1::ScoreRequest,
        tenant: &str,
    ) -> Result<Option<String>, GatewayError> {
        let Some(action) = &request.action else { return Ok(None) };
        let (server, tool) = (action.server.as_str(), action.tool.as_str());
        let pin = self.site().ledger.read(|tables| tools::pin(tables, tenant, server, tool))?;
        let Some(pin) = pin else { return Ok(None) };
        Ok(match policies.pinned(tenant, server, tool) {
            Some(digests) => Some(pin.last).filter(|last| !digests.contains(last)),
            None => pin.changed,
        })
    }

    /// What a list tells that is new or changed. Most lists tell neither, and are no record.
    fn news(&self, listed: impl Iterator<Item = ToolSeen>) -> Result<Vec<ToolSeen>, GatewayError> {
        let mut changed = 0;
        let news = self.site().ledger.read(|tables| {
            let mut news = Vec::new();
            for seen in listed {
                match tools::pin(tables, &seen.tenant, &seen.server, &seen.tool)? {
                    Some(pin) if pin.last == seen.digest => continue,
                    Some(_) => changed += 1,
                    None => {}
                }
                news.push(seen);
            }
            Ok(news)
        })?;
        if changed > 0 {
            let server = news.first().map(|seen| seen.server.as_str());
            tracing::warn!(
                server,
                changed,
                "tools say something else of themselves than before; see the ledger"
            );
        }
        Ok(news)
    }

    async fn pin(&self, news: Vec<ToolSeen>) -> Result<(), GatewayError> {
        if news.is_empty() {
            return Ok(());
        }
        let left_out = self.site().ledger.change(move |tables, _| tools::see(tables, news)).await?;
        if left_out > 0 {
            tracing::warn!(
                left_out,
                most = tools::MAX_SERVER_TOOLS,
                "tools that found no room are not pinned"
            );
        }
        Ok(())
    }
}

fn seen(caller: &Caller, server: &str, tool: &str, digest: &str) -> ToolSeen {
    ToolSeen {
        tenant: caller.tenant.as_str().to_owned(),
        server: server.to_owned(),
        tool: tool.to_owned(),
        digest: digest.to_owned(),
        caller: caller.name().to_owned(),
    }
}

fn hinted(annotations: &Value) -> Effect {
    let hint = |name: &str| annotations.get(name).and_then(Value::as_bool);
    match (hint("readOnlyHint"), hint("destructiveHint")) {
        // Both at once is no hint.
        (Some(true), Some(true)) => Effect::Unknown,
        (Some(true), _) => Effect::Read,
        (Some(false), _) | (None, Some(true)) => Effect::Write,
        (None, _) => Effect::Unknown,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_say_what_a_tool_does_unless_they_contradict() {
        let effect = |hints: Value| Described::of(&json!({"name": "t", "annotations": hints})).effect;
        assert_eq!(effect(json!({"readOnlyHint": true})), Effect::Read);
        assert_eq!(effect(json!({"readOnlyHint": false})), Effect::Write);
        assert_eq!(effect(json!({"destructiveHint": true})), Effect::Write);
        assert_eq!(effect(json!({"readOnlyHint": true, "destructiveHint": true})), Effect::Unknown);
        assert_eq!(effect(json!({"readOnlyHint": "true"})), Effect::Unknown);
        assert_eq!(effect(json!({})), Effect::Unknown);
    }

    #[test]
    fn a_changed_hint_is_a_change_and_what_is_too_large_is_left_out() {
        let tool = json!({"description": "d", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
        let mut other = tool.clone();
        other["annotations"]["readOnlyHint"] = json!(false);
        assert_ne!(Described::of(&tool).digest, Described::of(&other).digest);
        let mut long = tool.clone();
        long["description"] = json!("\u{e9}".repeat(WORDS_BYTES));
        assert!(Described::of(&long).description.len() <= WORDS_BYTES);
        let mut deep = tool.clone();
        deep["inputSchema"] = json!({"a": (0..SCHEMA_DEPTH).fold(json!(1), |inner, _| json!([inner]))});
        assert_eq!(Described::of(&deep).schema, None);
        assert!(Described::of(&tool).schema.is_some());
    }
}
