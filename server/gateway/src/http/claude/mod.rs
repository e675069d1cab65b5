//! Claude Code's HTTP hook: the user's prompt tells the intent, the tool that is about to be used the action.

pub mod answer;
pub mod intent;
pub mod read;
pub mod sessions;
pub mod tools;

use std::sync::Arc;

use rhumb_drift::Effect;
use rhumb_ledger::LedgerError;
use rhumb_ledger::intent::config::Provenance;
use rhumb_proto::v1;
use serde_json::Value;

use super::door::Door;
use super::error::HttpError;
use super::fields::name;
use super::repeats::Same;
use super::tokens::token_decides;
use super::{Asked, Inside, Reply, SPARE, reply};
use crate::caller::Caller;
use crate::callers::{NotLetIn, Role};
use crate::convert::Unread;
use crate::decide::{Decider, now_ms};
use crate::errors::{self, GatewayError};
use crate::intents;
use crate::policy::{Mode, Outcome, Ruling, Subject};
use intent::{Found, Session, says_something};
use read::{Event, ToolUse, What};

/// The main agent, and what records call this point.
const AGENT: &str = "claude-code";
/// Permission modes in which nobody is asked.
const UNATTENDED: [&str; 2] = ["bypassPermissions", "dontAsk"];
/// Characters of a permission mode in records.
const MODE_CHARS: usize = 32;

/// Answers a hook.
///
/// # Errors
/// A body that cannot be read; no score, and the policy leaves it to the client.
pub async fn hook(inside: &Inside, asked: Asked) -> Result<Reply, HttpError> {
    let event = match read::read(&asked.body) {
        Ok(event) => event,
        Err(error) => return unreadable(&asked.decider, &asked.caller, error).await,
    };
    let session = sessions::key(&asked.caller, &event.session);
    match &event.what {
        What::Prompt(text) => reply(&prompt(inside, &asked, &event, text).await?),
        What::Before(used) => {
            let answered = before(inside, &asked, &event, used);
            let answered = tokio::time::timeout_at((asked.deadline + SPARE).into(), answered).await;
            answered.unwrap_or_else(|_| Err(HttpError::late()))
        }
        What::After(used, text) => {
            inside.sessions.answered(session, &name(&used.tool), text);
            reply(&answer::nothing())
        }
        What::End => {
            inside.sessions.end(session);
            reply(&answer::nothing())
        }
        What::Other => reply(&answer::nothing()),
    }
}

/// A body that nobody reads is recorded. To older clients an error means that the tool runs, so where the policy is closed it
/// is a refusal: a model writes what stands in a tool's arguments.
///
/// # Errors
/// That of the body, where the policy is not closed.
pub async fn unreadable(decider: &Decider, caller: &Caller, error: HttpError) -> Result<Reply, HttpError> {
    let action = v1::Action { server: tools::BUILT_IN.to_owned(), ..v1::Action::default() };
    let request = v1::ScoreRequest {
        action: Some(action),
        enforcement_point: AGENT.to_owned(),
        ..v1::ScoreRequest::default()
    };
    let why = Unread::unparsable(error.message.clone());
    let response = decider.refuse_unread(request, &why, caller).await?;
    let closed = ruling(decider, caller).missing(Effect::Unknown, Provenance::None) == Some(Outcome::Stop);
    match closed && response.outcome() == v1::Outcome::Stop {
        true => reply(&answer::before("", &response, true)),
        false => Err(error),
    }
}

/// The user's words become the session's intent.
async fn prompt(inside: &Inside, asked: &Asked, event: &Event, text: &str) -> Result<Value, HttpError> {
    check_role(asked)?;
    // A token says more than a prompt; what says nothing leaves the request before in force.
    if !says_something(text) || token_decides(&asked.decider, &asked.caller)? {
        return Ok(answer::nothing());
    }
    match register(inside, asked, event, text).await {
        Ok(()) => {
            inside.sessions.prompted(sessions::key(&asked.caller, &event.session), text);
            Ok(answer::nothing())
        }
        Err(error) if enforces(asked) => Ok(answer::block(errors::status(&error.into()).message())),
        Err(_) => Ok(answer::nothing()),
    }
}

/// Whoever may ask for scores only must not set the course.
fn check_role(asked: &Asked) -> Result<(), HttpError> {
    let may = asked.caller.identity.as_ref().is_none_or(|identity| identity.may(Role::Intents));
    let refused = || HttpError::from(errors::forbidden(&NotLetIn::Forbidden.to_string()));
    if may { Ok(()) } else { Err(refused()) }
}

async fn register(inside: &Inside, asked: &Asked, event: &Event, text: &str) -> Result<(), LedgerError> {
    let site = Arc::clone(asked.decider.site());
    let (ledger, which) = (site.ledger.clone(), inside.config.claude_code.intent);
    let (session, text) = (Session::of(&asked.caller, &event.session), text.to_owned());
    let decide = move |tables: &dyn rhumb_ledger::Read, now_ms| {
        intents::outcome(session.prompt(&site, tables, now_ms, &text, which))
    };
    ledger.change(decide).await
}

fn enforces(asked: &Asked) -> bool {
    ruling(&asked.decider, &asked.caller).mode == Mode::Enforce
}

/// What holds for a hook of which nothing else is known.
fn ruling(decider: &Decider, caller: &Caller) -> Ruling {
    let subject = Subject {
        surface: caller.surface,
        tenant: caller.tenant.as_str(),
        policy: "",
        server: tools::BUILT_IN,
        tool: "UserPromptSubmit",
        effect: Effect::Unknown,
        provenance: Provenance::None,
    };
    decider.site().policy.now().ruling(&subject)
}

/// Whether a tool may be used.
async fn before(inside: &Inside, asked: &Asked, event: &Event, used: &ToolUse) -> Result<Reply, HttpError> {
    let found = match token_decides(&asked.decider, &asked.caller)? {
        true => None,
        false => Some(found(asked, event)?),
    };
    let decided = decide(inside, asked, event, used, found.as_ref());
    match used.id.as_str() {
        "" => decided.await,
        id => inside.repeats.answer(same(asked, event, used, id, found.as_ref()), decided).await,
    }
}

fn found(asked: &Asked, event: &Event) -> Result<Found, GatewayError> {
    let session = Session::of(&asked.caller, &event.session);
    Ok(session.find(asked.decider.site(), now_ms())?)
}

fn same(asked: &Asked, event: &Event, used: &ToolUse, id: &str, found: Option<&Found>) -> Same {
    let (caller, policy) = (&asked.caller, asked.decider.site().policy.now());
    let intent = found.and_then(|found| found.intent.as_ref());
    let intent = intent.map(|(intent, _)| format!("{} {}", intent.id, intent.version)).unwrap_or_default();
    let tokens = caller.carried.tokens.iter().map(|(_, token)| token.as_str());
    let parts = [
        "claude_code",
        caller.tenant.as_str(),
        caller.name(),
        policy.id(),
        &event.session,
        &event.permission_mode,
        id,
        &used.tool,
        &used.input,
        &intent,
    ];
    Same::of(parts.into_iter().chain(tokens).map(str::as_bytes))
}

async fn decide(
    inside: &Inside,
    asked: &Asked,
    event: &Event,
    used: &ToolUse,
    found: Option<&Found>,
) -> Result<Reply, HttpError> {
    let request = request(inside, asked, event, used, found);
    let call = asked.caller.one(asked.deadline);
    let response = asked.decider.hold(request, &asked.caller, &call).await?;
    inside.counted(Door::ClaudeCode, &response);
    let unattended = UNATTENDED.contains(&event.permission_mode.as_str());
    let asks_nobody = unattended && !inside.config.claude_code.ask_unattended;
    reply(&answer::before(&used.tool, &response, asks_nobody))
}

fn request(
    inside: &Inside,
    asked: &Asked,
    event: &Event,
    used: &ToolUse,
    found: Option<&Found>,
) -> v1::ScoreRequest {
    let session = sessions::key(&asked.caller, &event.session);
    let intent = found.and_then(|found| found.intent.as_ref()).map(|(intent, has_text)| v1::Intent {
        intent_id: intent.id.clone(),
        // Where the ledger keeps no words, ours must be those that were registered.
        text: if *has_text { None } else { inside.sessions.prompt(session, &intent.digest) }
            .unwrap_or_default(),
        ..v1::Intent::default()
    });
    let in_sub_agent = !event.agent.is_empty();
    v1::ScoreRequest {
        request_id: used.id.clone(),
        intent,
        action: Some(used.action()),
        context: inside.sessions.context(session),
        chain: Some(v1::ChainPosition {
            chain_id: name(&format!("{AGENT}:{}", event.session)),
            agent: if in_sub_agent { event.agent.clone() } else { AGENT.to_owned() },
            delegator: if in_sub_agent { AGENT.to_owned() } else { String::new() },
            ..v1::ChainPosition::default()
        }),
        // Also where it has ended: the answer says so then.
        bindings: found
            .and_then(|found| found.key.as_ref())
            .map(crate::anchor::binding)
            .into_iter()
            .collect(),
        enforcement_point: point(&event.permission_mode),
        ..v1::ScoreRequest::default()
    }
}

/// This point and the permission mode of the session.
fn point(permission_mode: &str) -> String {
    let mode: String = permission_mode.chars().filter(char::is_ascii_alphanumeric).take(MODE_CHARS).collect();
    if mode.is_empty() { AGENT.to_owned() } else { format!("{AGENT}/{mode}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_tell_the_permission_mode_and_nothing_else_that_a_client_writes() {
        assert_eq!(point("bypassPermissions"), "claude-code/bypassPermissions");
        assert_eq!(point("\n<script>"), "claude-code/script");
        assert_eq!(point(""), "claude-code");
    }
}
