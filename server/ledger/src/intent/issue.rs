//! New tokens of registered intents.

use rhumb_drift::InputError;

use super::canon;
use super::check::Checked;
use super::jws;
use super::reason;
use super::registry::{
    Caller, Outcome, Registry, authenticated, check_length, current, not_found, own_head, refusal_of,
};
use super::settle::settle;
use super::state::Version;
use super::token::{Accountable, Claims, Context, Fault, TYPE, act, check_delegation};
use crate::error::{LedgerError, Refusal, RefusalKind};
use crate::record::{Event, IntentVersion, TokenIssued};
use crate::tables::Read;

/// Asks for a new token; names the intent by either, or by both where they agree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenRequest {
    /// The intent; empty where the token names it.
    pub intent_id: String,
    /// A token of ours: the new one continues its delegation. Empty where the id names the intent.
    pub token: String,
    /// The agent that is to act; empty: nobody new.
    pub actor: String,
}

/// A token, and what it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The intent.
    pub intent_id: String,
    /// Its version.
    pub version: u32,
    /// Compact JWS.
    pub token: String,
    /// `sha256:...` of the canonical text.
    pub digest: String,
    /// `txn`.
    pub chain_id: String,
    /// Milliseconds since 1970.
    pub token_expires_ms: u64,
    /// Milliseconds since 1970.
    pub intent_expires_ms: u64,
}

impl Registry {
    /// A new token for the same chain.
    ///
    /// Only for authenticated callers: it makes a signed reference out of an id that everybody may know.
    ///
    /// # Errors
    /// If a field cannot be used (also a delegation that is too deep or comes back), or the store fails.
    pub fn decide_token(
        &self,
        tables: &dyn Read,
        caller: &Caller,
        now_ms: u64,
        request: &TokenRequest,
    ) -> Result<Outcome<Issued>, LedgerError> {
        check_length("actor", &request.actor, 0, 256)?;
        if let Err(refusal) = authenticated(caller) {
            return Ok(refusal.into());
        }
        let (intent, mut actors) = match self.named(tables, caller, now_ms, request)? {
            Ok(named) => named,
            Err(refusal) => return Ok(refusal.into()),
        };
        if !request.actor.is_empty() {
            actors.insert(0, request.actor.clone());
        }
        let looped = |f: Fault| InputError::new("actor", format!("{}: {}", f.reason, f.detail));
        check_delegation(&actors).map_err(looped)?;
        let (issued, event) = self.issue(&intent, &actors, caller, now_ms)?;
        Ok(Outcome { events: vec![event], reply: Ok(issued) })
    }

    /// The version that is asked for, and who acts for it so far.
    fn named(
        &self,
        tables: &dyn Read,
        caller: &Caller,
        now_ms: u64,
        request: &TokenRequest,
    ) -> Result<Result<(IntentVersion, Vec<String>), Refusal>, LedgerError> {
        if request.token.is_empty() {
            let Some(head) = own_head(tables, &caller.tenant, &request.intent_id)? else {
                return Ok(Err(not_found()));
            };
            return Ok(current(tables, &head, now_ms)?.map(|intent| (intent, Vec::new())));
        }
        Ok(match self.of_token(tables, caller, now_ms, &request.token)? {
            Ok((version, actors)) if names(request, &version.intent) => Ok((version.intent, actors)),
            Ok(_) => Err(Refusal::new(
                RefusalKind::FailedPrecondition,
                reason::INTENT_CONFLICT,
                "token and intent id name different intents",
            )),
            Err(fault) => Err(refusal_of(fault)),
        })
    }

    fn of_token(
        &self,
        tables: &dyn Read,
        caller: &Caller,
        now_ms: u64,
        token: &str,
    ) -> Result<Result<(Version, Vec<String>), Fault>, LedgerError> {
        let verified = match self.issuers.check(token, &caller.tenant, now_ms) {
            Ok(Checked::Good(verified)) if verified.is_ours => verified,
            Ok(_) => return Ok(Err(Fault::new(reason::INTENT_ISSUER, "not a token of this server"))),
            Err(fault) => return Ok(Err(fault)),
        };
        let unknown = || Fault::new(reason::INTENT_TEXT_UNAVAILABLE, "no such intent");
        let settled = settle(tables, &caller.tenant, &verified, now_ms)?;
        Ok(settled.and_then(|known| known.ok_or_else(unknown)).map(|(_, version)| (version, verified.actors)))
    }

    /// Signs a token, with the event that says so.
    pub(super) fn issue(
        &self,
        intent: &IntentVersion,
        actors: &[String],
        caller: &Caller,
        now_ms: u64,
    ) -> Result<(Issued, Event), LedgerError> {
        let claims = self.claims(intent, actors, now_ms);
        let token = self.sign(&claims)?;
        let event = TokenIssued {
            intent: intent.id.clone(),
            version: intent.version,
            actor: actors.first().cloned().unwrap_or_default(),
            expires_ms: claims.exp * 1000,
            caller: caller.name.clone(),
        };
        let issued = Issued {
            intent_id: intent.id.clone(),
            version: intent.version,
            token,
            digest: intent.digest.clone(),
            chain_id: intent.chain.clone(),
            token_expires_ms: claims.exp * 1000,
            intent_expires_ms: intent.expires_ms,
        };
        Ok((issued, Event::TokenIssued(event)))
    }

    fn claims(&self, intent: &IntentVersion, actors: &[String], now_ms: u64) -> Claims {
        let iat = now_ms / 1000;
        Claims {
            iss: self.config.issuer.clone(),
            aud: self.config.trust_domain.clone(),
            sub: intent.principal.clone(),
            txn: intent.chain.clone(),
            scope: intent.scope.clone(),
            req_wl: intent.requester.clone(),
            iat,
            // A token that began in this second ends in a later one, and before its intent does but for that second.
            exp: (iat + self.config.token_ttl_s).min(intent.expires_ms / 1000).max(iat + 1),
            act: act(actors),
            tctx: context(intent),
        }
    }

    fn sign(&self, claims: &Claims) -> Result<String, LedgerError> {
        let json = |e: serde_json::Error| LedgerError::Store(e.to_string());
        let header = serde_json::json!({"typ": TYPE, "alg": "EdDSA", "kid": self.keys.kid()}).to_string();
        let payload = serde_json::to_string(claims).map_err(json)?;
        let token = jws::compact(&header, &payload, |message| self.keys.sign(message));
        if token.len() > jws::MAX_BYTES {
            let problem = format!("the token would have {} bytes, at most {}", token.len(), jws::MAX_BYTES);
            return Err(InputError::new("constraints", problem).into());
        }
        Ok(token)
    }
}

fn names(request: &TokenRequest, intent: &IntentVersion) -> bool {
    request.intent_id.is_empty() || request.intent_id == intent.id
}

fn context(intent: &IntentVersion) -> Context {
    let approver = intent.approval.as_ref().map(|a| a.approver.clone());
    let authn = Some(intent.authentication.clone()).filter(|a| !a.is_empty());
    let principal = intent.principal.clone();
    let known = approver.is_some() || authn.is_some();
    Context {
        intent_id: intent.id.clone(),
        intent_version: intent.version,
        intent_digest: intent.digest.clone(),
        canon: canon::RULE.to_owned(),
        constraints: intent.constraints.clone(),
        accountable: known.then_some(Accountable { principal, approver, authn }),
        prev_txn: intent.previous_chain.clone(),
    }
}
