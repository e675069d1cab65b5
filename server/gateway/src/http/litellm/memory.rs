//! What is kept between the request and the response of a model call: LiteLLM tells of them in two messages.

use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use rhumb_ledger::intent::carriers::TokenPlace;
use rhumb_proto::v1;

use super::tools::Tool;
use crate::http::config::LiteLlmConfig;
use crate::http::repeats::Same;

/// A model call that takes longer has no response any more.
const KEPT: Duration = Duration::from_secs(3600);
/// Model calls and conversations that are kept at most.
const ENTRIES: u64 = 100_000;
/// Bytes of the tools of one model call; beyond them tools have no description.
const TOOL_BYTES: usize = 512 * 1024;
/// Bytes of what is not text.
const ENTRY_BYTES: usize = 256;

/// What a request said that its response does not say again.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Remembered {
    /// What the user asked for; empty where nothing was found.
    pub intent: String,
    /// On whose behalf.
    pub principal: String,
    /// Tokens of the client's headers.
    pub tokens: Vec<(TokenPlace, String)>,
    /// Tools that the model was offered.
    pub tools: Vec<Tool>,
    /// What tools answered.
    pub context: Vec<v1::ContextItem>,
}

impl Remembered {
    /// Without the tools that are too much.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let mut left = TOOL_BYTES;
        self.tools.retain(|tool| {
            let fits = tool.bytes() <= left;
            left -= if fits { tool.bytes() } else { 0 };
            fits
        });
        self
    }

    /// The tool of that name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    fn bytes(&self) -> usize {
        let tokens: usize = self.tokens.iter().map(|(_, token)| token.len()).sum();
        let tools: usize = self.tools.iter().map(Tool::bytes).sum();
        let context: usize = self.context.iter().map(|item| item.source.len() + item.text.len()).sum();
        ENTRY_BYTES + self.intent.len() + self.principal.len() + tokens + tools + context
    }
}

/// Model calls and conversations under way.
pub struct Memory {
    calls: Cache<Same, Arc<Remembered>>,
    /// The request that counted last in a conversation.
    traces: Cache<Same, Arc<str>>,
}

impl Memory {
    /// Empty, with room for what the configuration says.
    pub fn new(config: &LiteLlmConfig) -> Self {
        let bytes = config.memory_mb.saturating_mul(1024 * 1024) / 2;
        // Nothing weighs less than its share: so neither texts nor entries are too many.
        let least = bytes / ENTRIES;
        let weigh = move |bytes: usize| u32::try_from((bytes as u64).max(least)).unwrap_or(u32::MAX);
        Self {
            calls: Cache::builder()
                .max_capacity(bytes)
                .weigher(move |_, entry: &Arc<Remembered>| weigh(entry.bytes()))
                .time_to_live(KEPT)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            traces: Cache::builder()
                .max_capacity(bytes)
                .weigher(move |_, text: &Arc<str>| weigh(ENTRY_BYTES + text.len()))
                .time_to_live(KEPT)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// Keeps what a request said, under the ids that it has.
    pub fn keep(&self, whose: Whose<'_>, call_id: &str, trace_id: &str, remembered: Remembered) {
        if !trace_id.is_empty() && !remembered.intent.is_empty() {
            self.traces.insert(key(whose, trace_id), Arc::from(remembered.intent.as_str()));
        }
        let remembered = Arc::new(remembered.bounded());
        // Without an id of the call, its conversation has to do.
        let id = if call_id.is_empty() { trace_id } else { call_id };
        if !id.is_empty() {
            self.calls.insert(key(whose, id), remembered);
        }
    }

    /// What the request of this response said.
    pub fn of_call(&self, whose: Whose<'_>, call_id: &str, trace_id: &str) -> Option<Arc<Remembered>> {
        let id = if call_id.is_empty() { trace_id } else { call_id };
        if id.is_empty() { None } else { self.calls.get(&key(whose, id)) }
    }

    /// The request that counted last in this conversation.
    pub fn of_trace(&self, whose: Whose<'_>, trace_id: &str) -> Option<Arc<str>> {
        if trace_id.is_empty() { None } else { self.traces.get(&key(whose, trace_id)) }
    }
}

/// Whose ids: clients choose them, and another's are others.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// On whose account.
    pub tenant: &'a str,
    /// The authenticated LiteLLM; empty where callers are not.
    pub caller: &'a str,
    /// The key that it let the client in by.
    pub key: &'a str,
}

fn key(Whose { tenant, caller, key }: Whose<'_>, id: &str) -> Same {
    Same::of([tenant, caller, key, id].map(str::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(megabytes: u64) -> Memory {
        Memory::new(&LiteLlmConfig { memory_mb: megabytes, ..LiteLlmConfig::default() })
    }

    fn of(tenant: &'static str) -> Whose<'static> {
        Whose { tenant, caller: "", key: "h" }
    }

    fn asked(text: &str) -> Remembered {
        Remembered { intent: text.to_owned(), ..Remembered::default() }
    }

    #[test]
    fn a_call_is_found_by_its_tenant_alone() {
        let memory = memory(1);
        memory.keep(of("blue"), "call", "trace", asked("Pay"));
        assert_eq!(memory.of_call(of("blue"), "call", "").unwrap().intent, "Pay");
        assert_eq!(memory.of_trace(of("blue"), "trace").as_deref(), Some("Pay"));
        assert!(memory.of_call(of("green"), "call", "trace").is_none());
        assert!(memory.of_call(of("blue"), "other", "trace").is_none(), "a conversation is not a call");
        assert!(memory.of_call(of("blue"), "", "").is_none());
        let others = Whose { key: "other", ..of("blue") };
        assert!(memory.of_call(others, "call", "").is_none(), "another client's ids are others");
    }

    #[test]
    fn long_texts_push_out_the_oldest_and_never_the_newest() {
        let memory = memory(1);
        for i in 0..20 {
            memory.keep(of("t"), &format!("c{i}"), "", asked(&"x".repeat(60_000)));
            memory.calls.run_pending_tasks();
        }
        assert!(memory.of_call(of("t"), "c0", "").is_none());
        assert!(memory.of_call(of("t"), "c19", "").is_some());
        assert!(memory.calls.weighted_size() <= 512 * 1024);
    }

    #[test]
    fn tools_beyond_the_limit_are_not_kept() {
        let tool = |n: usize| Tool { name: format!("t{n}"), description: "d".repeat(200_000), schema: None };
        let kept = Remembered { tools: (0..4).map(tool).collect(), ..Remembered::default() }.bounded();
        assert_eq!(kept.tools.len(), 2);
    }
}
