//! Registering and amending intents.

use rhumb_drift::InputError;
use rhumb_drift::action::is_anchor;
use serde_json::{Value, json};

use super::action::value_digest;
use super::bind::{Wish, check_keys};
use super::canon;
use super::constraints::Constraints;
use super::issue::Issued;
use super::reason;
use super::registry::{
    Caller, Outcome, Registry, authenticated, check_length, current, fresh_id, not_found, own_head,
};
use super::state;
use super::token::LEEWAY_S;
use crate::error::{LedgerError, Refusal, RefusalKind};
use crate::record::{Approval, BindingKey, Content, Event, IntentVersion};
use crate::tables::Read;

/// The most versions of one intent.
pub const MAX_VERSIONS: u32 = 1000;

/// What the principal allows where the registration does not say.
pub const DEFAULT_SCOPE: &str = "agent.act";

/// A request to register.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registration {
    /// As the human wrote it.
    pub text: String,
    /// The accountable human or service.
    pub principal: String,
    /// Limits on actions.
    pub constraints: Constraints,
    /// When the intent ends, in milliseconds since 1970; without it, after the configured life.
    pub expires_ms: Option<u64>,
    /// The workload that registers; empty: the caller.
    pub requester: String,
    /// What the principal allows, space separated; empty: [`DEFAULT_SCOPE`].
    pub scope: String,
    /// How the person was authenticated.
    pub authentication: String,
    /// Keys to tie to the intent in the same step.
    pub bindings: Vec<BindingKey>,
    /// The same id twice registers once; empty: every request registers.
    pub request_id: String,
}

/// A changed wish.
#[derive(Debug, Clone, PartialEq)]
pub struct Amendment {
    /// The intent.
    pub intent_id: String,
    /// The version that is replaced.
    pub version: u32,
    /// The new text.
    pub text: String,
    /// A person's approval.
    pub approval: Approval,
    /// New limits; `None`: those of the version before.
    pub constraints: Option<Constraints>,
    /// A new end, in milliseconds since 1970; `None`: that of the version before.
    pub expires_ms: Option<u64>,
    /// Whether tokens of the version before stay valid until they end.
    pub keep_old: bool,
}

impl Registry {
    /// Registers an intent, once for each request id.
    ///
    /// # Errors
    /// If a field cannot be used, or the store fails.
    pub fn decide_register(
        &self,
        tables: &dyn Read,
        caller: &Caller,
        now_ms: u64,
        request: &Registration,
    ) -> Result<Outcome<Issued>, LedgerError> {
        let text = self.check(request)?;
        let digest = request_digest(request, &text);
        if !request.request_id.is_empty()
            && let Some(id) = state::registration(tables, &caller.tenant, &request.request_id)?
        {
            return self.again(tables, caller, now_ms, &id, &digest);
        }
        let expires_ms = self.end(now_ms, request.expires_ms)?;
        let intent = first_version(caller, request, text, digest, expires_ms, now_ms)?;
        let bound = match self.first_keys(tables, caller, now_ms, &intent, &request.bindings)? {
            Ok(event) => event,
            Err((events, refusal)) => return Ok(Outcome { events, reply: Err(refusal) }),
        };
        let (issued, token) = self.issue(&intent, &[], caller, now_ms)?;
        let events = [Some(Event::Intent(Box::new(intent))), bound, Some(token)];
        Ok(Outcome { events: events.into_iter().flatten().collect(), reply: Ok(issued) })
    }

    /// Replaces the current version by a new one, with a new chain; all keys lead to it from then on.
    ///
    /// # Errors
    /// If a field cannot be used, or the store fails.
    pub fn decide_amend(
        &self,
        tables: &dyn Read,
        caller: &Caller,
        now_ms: u64,
        request: &Amendment,
    ) -> Result<Outcome<Issued>, LedgerError> {
        let text = check_text(&request.text, "text")?;
        check_approval(&request.approval, now_ms)?;
        if let Some(constraints) = &request.constraints {
            constraints.check_shape()?;
        }
        if let Err(refusal) = authenticated(caller) {
            return Ok(refusal.into());
        }
        let Some(head) = own_head(tables, &caller.tenant, &request.intent_id)? else {
            return Ok(not_found().into());
        };
        let old = match current(tables, &head, now_ms)? {
            Ok(old) => old,
            Err(refusal) => return Ok(refusal.into()),
        };
        if let Err(refusal) = replaceable(&old, request.version) {
            return Ok(refusal.into());
        }
        let expires_ms = match request.expires_ms {
            Some(_) => self.end(now_ms, request.expires_ms)?,
            None => old.expires_ms,
        };
        let new = next_version(caller, request, old, text, expires_ms, now_ms)?;
        let (issued, token) = self.issue(&new, &[], caller, now_ms)?;
        Ok(Outcome { events: vec![Event::Intent(Box::new(new)), token], reply: Ok(issued) })
    }

    fn check(&self, request: &Registration) -> Result<String, InputError> {
        check_length("intent.principal", &request.principal, 1, 512)?;
        check_length("requester", &request.requester, 0, 256)?;
        check_length("scope", &request.scope, 0, 512)?;
        check_length("authentication", &request.authentication, 0, 512)?;
        check_length("request_id", &request.request_id, 0, 256)?;
        request.constraints.check_shape()?;
        check_keys(&request.bindings)?;
        check_text(&request.text, "intent.text")
    }

    /// A request id that was seen before: the same intent, with a fresh token.
    fn again(
        &self,
        tables: &dyn Read,
        caller: &Caller,
        now_ms: u64,
        id: &str,
        digest: &str,
    ) -> Result<Outcome<Issued>, LedgerError> {
        let Some(head) = own_head(tables, &caller.tenant, id)? else { return Ok(not_found().into()) };
        let first = state::version(tables, id, 1)?;
        if first.is_none_or(|v| v.intent.request_digest != digest) {
            let detail = "the request id was used for another registration";
            return Ok(Outcome::refused(RefusalKind::AlreadyExists, reason::REQUEST_ID_REUSED, detail));
        }
        let intent = match current(tables, &head, now_ms)? {
            Ok(intent) => intent,
            Err(refusal) => return Ok(refusal.into()),
        };
        let (issued, token) = self.issue(&intent, &[], caller, now_ms)?;
        Ok(Outcome { events: vec![token], reply: Ok(issued) })
    }

    fn first_keys(
        &self,
        tables: &dyn Read,
        caller: &Caller,
        now_ms: u64,
        intent: &IntentVersion,
        keys: &[BindingKey],
    ) -> Result<Result<Option<Event>, (Vec<Event>, Refusal)>, LedgerError> {
        if keys.is_empty() {
            return Ok(Ok(None));
        }
        if let Err(refusal) = authenticated(caller) {
            return Ok(Err((Vec::new(), refusal)));
        }
        let intent_expires_ms = intent.expires_ms;
        let wish = Wish { intent: &intent.id, held: &[], intent_expires_ms, keys, caller, now_ms };
        Ok(self.plan(tables, &wish)?.map(|plan| plan.event))
    }

    /// When an intent ends.
    fn end(&self, now_ms: u64, wanted: Option<u64>) -> Result<u64, InputError> {
        let after = |life_s: u64| now_ms.saturating_add(life_s.saturating_mul(1000));
        let end = wanted.unwrap_or_else(|| after(self.config.intent_life_s));
        // Tokens count in seconds: an end within this one would leave none.
        if end / 1000 <= now_ms / 1000 {
            return Err(InputError::new("expires", "is over"));
        }
        if end > after(self.config.max_intent_life_s) {
            let problem = format!("more than {} seconds ahead", self.config.max_intent_life_s);
            return Err(InputError::new("expires", problem));
        }
        Ok(end)
    }
}

fn check_text(text: &str, field: &str) -> Result<String, InputError> {
    let text = canon::canonical(text).map_err(|e| InputError::new(field, e.problem))?;
    // Nothing can be compared with it.
    if is_anchor(&text) { Ok(text) } else { Err(InputError::new(field, "has no letter and no digit")) }
}

fn check_approval(approval: &Approval, now_ms: u64) -> Result<(), InputError> {
    check_length("approval.approver", &approval.approver, 1, 256)?;
    check_length("approval.channel", &approval.channel, 1, 256)?;
    if approval.time_ms == 0 || approval.time_ms > now_ms.saturating_add(LEEWAY_S * 1000) {
        return Err(InputError::new("approval.time", "missing, or not yet"));
    }
    Ok(())
}

fn replaceable(old: &IntentVersion, version: u32) -> Result<(), Refusal> {
    if old.version != version {
        let detail = format!("version {version} is not the current one, which is {}", old.version);
        return Err(Refusal::new(RefusalKind::FailedPrecondition, reason::INTENT_VERSION_STALE, detail));
    }
    if old.version >= MAX_VERSIONS {
        let detail = format!("an intent has at most {MAX_VERSIONS} versions");
        return Err(Refusal::new(RefusalKind::ResourceExhausted, reason::INTENT_VERSION_LIMIT, detail));
    }
    Ok(())
}

/// Of everything that the caller asked for.
fn request_digest(request: &Registration, text: &str) -> String {
    value_digest(&json!({
        "text": canon::digest(text),
        "principal": request.principal,
        "constraints": request.constraints.to_value(),
        "expires": request.expires_ms,
        "requester": request.requester,
        "scope": request.scope,
        "authentication": request.authentication,
        "bindings": request.bindings.iter().map(|key| json!([key.kind, key.value])).collect::<Vec<Value>>(),
    }))
}

fn first_version(
    caller: &Caller,
    request: &Registration,
    text: String,
    request_digest: String,
    expires_ms: u64,
    now_ms: u64,
) -> Result<IntentVersion, LedgerError> {
    Ok(IntentVersion {
        id: fresh_id(now_ms)?,
        version: 1,
        tenant: caller.tenant.clone(),
        principal: request.principal.clone(),
        digest: canon::digest(&text),
        text: Content::Plain(Value::String(text)),
        chain: fresh_id(now_ms)?,
        previous_chain: None,
        constraints: request.constraints.to_value(),
        expires_ms,
        requester: or_else(&request.requester, workload(caller)),
        scope: or_else(&request.scope, DEFAULT_SCOPE),
        authentication: request.authentication.clone(),
        caller: caller.name.clone(),
        request_id: request.request_id.clone(),
        request_digest,
        approval: None,
        keep_old: false,
    })
}

fn next_version(
    caller: &Caller,
    request: &Amendment,
    old: IntentVersion,
    text: String,
    expires_ms: u64,
    now_ms: u64,
) -> Result<IntentVersion, LedgerError> {
    Ok(IntentVersion {
        version: old.version + 1,
        digest: canon::digest(&text),
        text: Content::Plain(Value::String(text)),
        chain: fresh_id(now_ms)?,
        previous_chain: Some(old.chain),
        constraints: request.constraints.as_ref().map_or(old.constraints, Constraints::to_value),
        expires_ms,
        requester: workload(caller).to_owned(),
        caller: caller.name.clone(),
        request_id: String::new(),
        request_digest: String::new(),
        approval: Some(request.approval.clone()),
        keep_old: request.keep_old,
        ..old
    })
}

/// The draft wants a name for the workload.
fn workload(caller: &Caller) -> &str {
    if caller.name.is_empty() { "anonymous" } else { &caller.name }
}

fn or_else(text: &str, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text.to_owned() }
}
