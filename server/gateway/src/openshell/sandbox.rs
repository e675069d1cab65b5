//! A sandbox and its intent: checked before the sandbox is made, tied together when it has an id.

use pbjson_types::Struct;
use rhumb_ledger::intent::carriers::{Anchor, Carriers, TokenPlace};
use rhumb_ledger::intent::reason;
use rhumb_ledger::{BindingKey, BindingKind, LedgerError, Read};
use rhumb_proto::openshell::gateway_interceptor::InterceptorResult;
use tonic::Status;

use super::OpenShell;
use super::fields;
use super::interceptor::{Principal, allowed, annotation, denied, said};
use crate::caller::Caller;
use crate::decide::now_ms;
use crate::errors::{self, GatewayError};
use crate::intents;
use crate::site::Site;

/// Where a sandbox's metadata is in the response that made it.
const METADATA: [&str; 2] = ["sandbox", "metadata"];
/// What became of the binding, for the gateway's log.
const BINDING: &str = "rhumb.binding";
const INTENT: &str = "rhumb.intent_id";

/// A token that leads to no intent for this principal.
struct Refused {
    reason: &'static str,
    detail: String,
}

impl Refused {
    fn new(reason: &'static str, detail: &str) -> Self {
        Self { reason, detail: detail.to_owned() }
    }

    /// The gRPC code for who called the gateway: what a new token cures is a precondition.
    fn code(&self) -> &'static str {
        match self.reason {
            reason::INTENT_MISSING
            | reason::INTENT_EXPIRED
            | reason::INTENT_REVOKED
            | reason::INTENT_SUPERSEDED
            | reason::INTENT_TEXT_UNAVAILABLE => "FAILED_PRECONDITION",
            _ => "PERMISSION_DENIED",
        }
    }

    fn answer(&self) -> InterceptorResult {
        let text = format!("intent token: {}: {}", self.reason, self.detail);
        denied(self.code(), &text, &[(BINDING, self.reason)])
    }
}

/// Whether a sandbox may be made: its token must be good, and of who makes it.
///
/// # Errors
/// UNAVAILABLE while the server loads or drains, or the ledger cannot be read.
pub(super) fn check(
    of: &OpenShell,
    caller: &Caller,
    principal: &Principal,
    proposed: Option<&Struct>,
) -> Result<InterceptorResult, Status> {
    let name = of.0.config.annotation.as_str();
    if let Some(token) = annotation(proposed, &[], name) {
        let decider = of.0.front.decider()?;
        let named = named(of, decider.site(), caller, principal, token).map_err(|e| errors::status(&e))?;
        return Ok(match named {
            Ok(anchor) => allowed([(BINDING, "expected"), (INTENT, &intent_id(&anchor))]),
            Err(refused) => refused.answer(),
        });
    }
    let missing = Refused::new(reason::INTENT_MISSING, &format!("annotation {name} is missing"));
    // What is there but no text is no token either, and may not pass for none.
    let is_there = fields::at(proposed, &["annotations", name]).is_some();
    match of.0.config.require_intent || is_there {
        true => Ok(missing.answer()),
        false => Ok(allowed([(BINDING, "none")])),
    }
}

/// Ties a sandbox that was made to the intent of its token. Its requests have no intent where that fails, and the policy
/// says what becomes of them.
pub(super) async fn bind(
    of: &OpenShell,
    caller: &Caller,
    principal: &Principal,
    response: Option<&Struct>,
) -> InterceptorResult {
    let id = fields::text(response, &["sandbox", "metadata", "id"]);
    let Some(token) = annotation(response, &METADATA, &of.0.config.annotation) else {
        return allowed([(BINDING, "none")]);
    };
    match tie(of, caller, principal, id, token).await {
        Ok(intent) => {
            tracing::info!(sandbox = id, intent, "sandbox bound to its intent");
            allowed([(BINDING, "bound"), (INTENT, &intent)])
        }
        Err(why) => {
            tracing::warn!(sandbox = id, why, "sandbox not bound to an intent");
            allowed([(BINDING, why)])
        }
    }
}

/// The intent's id, or one of the reason codes.
async fn tie(
    of: &OpenShell,
    caller: &Caller,
    principal: &Principal,
    id: &str,
    token: &str,
) -> Result<String, &'static str> {
    let decider = of.0.front.decider().map_err(|_| reason::SCORER_UNAVAILABLE)?;
    let site = decider.site().clone();
    let anchor = named(of, &site, caller, principal, token).map_err(|e| errors::reason(&e))?;
    let intent = intent_id(&anchor.map_err(|refused| refused.reason)?);
    let keys = [BindingKey { kind: BindingKind::OpenshellSandbox, value: id.to_owned() }];
    let (who, wanted, ledger) = (intents::registrar(caller), intent.clone(), site.ledger.clone());
    let decide = move |tables: &dyn Read, now_ms| {
        intents::outcome(site.registry.decide_bind(tables, &who, now_ms, &wanted, &keys))
    };
    let bound = ledger.change(decide).await;
    bound.map_err(|e| errors::reason(&GatewayError::Ledger(e)))?;
    Ok(intent)
}

/// The intent that a token leads to, looked up as for an action, if it is the principal's.
fn named(
    of: &OpenShell,
    site: &Site,
    caller: &Caller,
    principal: &Principal,
    token: &str,
) -> Result<Result<Anchor, Refused>, GatewayError> {
    let carriers = Carriers {
        tenant: caller.tenant.as_str().to_owned(),
        tokens: vec![(TokenPlace::Field, token.to_owned())],
        ..Carriers::default()
    };
    let open = |version: &rhumb_ledger::IntentVersion| site.ledger.text_of(version);
    let lookup = |tables: &dyn Read| site.registry.lookup(tables, &carriers, now_ms(), &open);
    let found: Result<_, LedgerError> = site.ledger.read(lookup);
    Ok(match found?.anchor {
        Ok(anchor) => of_principal(of, principal, anchor),
        Err(why) => Err(Refused { reason: why.reason, detail: why.detail }),
    })
}

fn of_principal(of: &OpenShell, principal: &Principal, anchor: Anchor) -> Result<Anchor, Refused> {
    let (subject, provider) = (said(principal, "subject"), said(principal, "provider"));
    if !of.0.config.subject.matches(&anchor.principal, subject, provider) {
        return Err(Refused::new(reason::CALLER_FORBIDDEN, "its subject is not who creates the sandbox"));
    }
    if anchor.intent.is_none() {
        return Err(Refused::new(reason::INTENT_NOT_FOUND, "it names no intent that is registered here"));
    }
    Ok(anchor)
}

fn intent_id(anchor: &Anchor) -> String {
    anchor.intent.as_ref().map(|intent| intent.id.clone()).unwrap_or_default()
}
