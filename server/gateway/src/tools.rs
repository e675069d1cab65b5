//! What tools say of themselves: remembered for scoring, and pinned, so that a server that rewrites a description is noticed.
//!
//! Descriptions are text of the server's, and trusted as little as that: they tell what a tool is for, and never vouch.

use std::sync::Arc;

use moka::sync::Cache;
use rhumb_drift::Effect;
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

/// Tenant, server, tool.
type Key = (String, String, String);

/// What a tool says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Described {
    /// In words.
    pub description: String,
    /// The JSON schema of its arguments.
    pub schema: Option<Map<String, Value>>,
    /// What its hints say that it does.
    pub effect: Effect,
}

impl Described {
    /// `sha256:` and the digest of the canonical JSON of description and schema.
    pub fn digest(&self) -> String {
        value_digest(&json!({"description": self.description, "inputSchema": self.schema}))
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
    /// Fills in what a request leaves out about its tool.
    pub fn describe(&self, request: &mut v1::ScoreRequest, tenant: &str) {
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
        if action.effect() == v1::Effect::Unknown {
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
        let mut news = Vec::new();
        for (tool, described) in listed {
            let seen = seen(caller, server, &tool, described.digest());
            if self.is_news(&seen)? {
                news.push(seen);
            }
            let key = (caller.tenant.as_str().to_owned(), server.to_owned(), tool);
            self.site().tools.known.insert(key, Arc::new(described));
        }
        self.pin(news).await
    }

    /// Pins the description that came with an action.
    pub(crate) async fn see_described(
        &self,
        request: &v1::ScoreRequest,
        caller: &Caller,
    ) -> Result<(), GatewayError> {
        let Some(action) = request.action.as_ref().filter(|action| !action.tool_description.is_empty())
        else {
            return Ok(());
        };
        let described = Described {
            description: action.tool_description.clone(),
            schema: convert::action(action.clone())?.input_schema,
            effect: Effect::Unknown,
        };
        let seen = seen(caller, &action.server, &action.tool, described.digest());
        if self.is_news(&seen)? { self.pin(vec![seen]).await } else { Ok(()) }
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

    /// Read first: most lists tell nothing new, and are no record.
    fn is_news(&self, seen: &ToolSeen) -> Result<bool, GatewayError> {
        let pin =
            self.site().ledger.read(|tables| tools::pin(tables, &seen.tenant, &seen.server, &seen.tool))?;
        if let Some(pin) = pin.as_ref().filter(|pin| pin.last != seen.digest) {
            let ToolSeen { tenant, server, tool, digest, .. } = seen;
            tracing::warn!(
                tenant,
                server,
                tool,
                before = pin.last,
                digest,
                "a tool's description has changed"
            );
        }
        Ok(pin.is_none_or(|pin| pin.last != seen.digest))
    }

    async fn pin(&self, news: Vec<ToolSeen>) -> Result<(), GatewayError> {
        if news.is_empty() {
            return Ok(());
        }
        let left_out = self.site().ledger.change(move |tables, _| tools::see(tables, news)).await?;
        if left_out > 0 {
            tracing::warn!(
                left_out,
                most = tools::MAX_TENANT_TOOLS,
                "tools that found no room are not pinned"
            );
        }
        Ok(())
    }
}

fn seen(caller: &Caller, server: &str, tool: &str, digest: String) -> ToolSeen {
    ToolSeen {
        tenant: caller.tenant.as_str().to_owned(),
        server: server.to_owned(),
        tool: tool.to_owned(),
        digest,
        caller: caller.name().to_owned(),
    }
}
