//! From what the sources yield to the one anchor.

use rhumb_drift::action::is_anchor;

use super::canon;
use super::carriers::{Anchor, Carriers, Open};
use super::config::Provenance;
use super::constraints::Constraints;
use super::reason;
use super::state::{Head, Version};
use super::token::{Fault, Verified};
use crate::record::{IntentRef, IntentVersion};

/// A source that yields a valid intent; its text may still be missing.
pub(super) struct Candidate {
    pub anchor: Anchor,
    /// What the store has, its text still closed.
    pub stored: Option<IntentVersion>,
    /// Whether the source itself names the chain.
    pub names_chain: bool,
}

/// A good token, with what is registered of its intent.
pub(super) fn of_token(
    token: Verified,
    known: Option<(Head, Version)>,
    source: &'static str,
) -> Result<Candidate, Fault> {
    let own = token.text.as_deref().map(canon::canonical).transpose();
    let own = own.map_err(|e| Fault::malformed(format!("text of the token: {}", e.problem)))?;
    let own_digest = own.as_ref().map(canon::digest);
    let digest = token.digest.or_else(|| own_digest.clone());
    let digest = digest.ok_or_else(|| Fault::malformed("neither digest nor text of an intent"))?;
    if own_digest.is_some_and(|own| own != digest) {
        return Err(Fault::new(reason::INTENT_TAMPERED, "its text is not that of its digest"));
    }
    let (head, version) = known.unzip();
    if version.as_ref().is_some_and(|v| v.intent.digest != digest) {
        return Err(Fault::new(reason::INTENT_TAMPERED, "not the digest that was registered"));
    }
    if head.as_ref().is_some_and(|head| head.principal != token.principal) {
        return Err(Fault::new(
            reason::INTENT_CONFLICT,
            "its principal is not that of the registered intent",
        ));
    }
    let number = version.as_ref().map(|v| v.intent.version).or(token.version);
    let intent = token.intent_id.zip(number);
    let end = head.map_or(token.expires_ms, |head| head.expires_ms.min(token.expires_ms));
    let registered = version.as_ref().map(|v| Constraints::from_value(&v.intent.constraints));
    let constraints = registered.transpose().map_err(Fault::malformed)?;
    Ok(Candidate {
        anchor: Anchor {
            text: own.unwrap_or_default(),
            principal: token.principal,
            provenance: Provenance::Signed,
            source,
            intent: intent.map(|(id, version)| IntentRef { id, version, digest: digest.clone() }),
            digest,
            chain: token.chain.clone(),
            constraints: constraints.unwrap_or(token.constraints),
            actors: token.actors,
            expires_ms: Some(end),
        },
        stored: version.map(|v| v.intent),
        names_chain: token.chain.is_some(),
    })
}

/// The strongest source, if no other contradicts it, with its text.
pub(super) fn finish(found: Vec<Candidate>, carriers: &Carriers, open: Open<'_>) -> Result<Anchor, Fault> {
    let given = given_text(carriers)?;
    let mut found = found.into_iter();
    let Some(first) = found.next() else { return alone(carriers, given) };
    if found.any(|other| differ(&first, &other)) {
        return Err(Fault::new(
            reason::INTENT_CONFLICT,
            "two valid references to different intents or chains",
        ));
    }
    let mut anchor = first.anchor;
    if given.as_ref().is_some_and(|text| canon::digest(text) != anchor.digest) {
        return Err(Fault::new(reason::INTENT_TAMPERED, "the text beside the reference is another"));
    }
    if anchor.text.is_empty() {
        let stored = first.stored.as_ref().and_then(open);
        // Tables are no part of the log's chain of digests: what they hold is believed by its digest alone.
        if stored.as_ref().is_some_and(|text| canon::digest(text) != anchor.digest) {
            return Err(Fault::new(reason::INTENT_TAMPERED, "the stored text is not that of its digest"));
        }
        let lost = || Fault::new(reason::INTENT_TEXT_UNAVAILABLE, "its text is not here and was not given");
        anchor.text = stored.or(given).ok_or_else(lost)?;
    }
    Ok(anchor)
}

/// Row 7 and 8: a text that stands for itself, or nothing.
fn alone(carriers: &Carriers, given: Option<String>) -> Result<Anchor, Fault> {
    let given = given.filter(|text| is_anchor(text));
    let given =
        given.ok_or_else(|| Fault::new(reason::INTENT_MISSING, "no reference to an intent, and no text"))?;
    Ok(Anchor {
        // As it was given: with and without a ledger the same request has the same score.
        text: carriers.text.clone(),
        principal: carriers.principal.clone(),
        provenance: Provenance::Unverified,
        source: "text",
        intent: None,
        digest: canon::digest(given),
        chain: None,
        constraints: Constraints::default(),
        actors: Vec::new(),
        expires_ms: None,
    })
}

/// The canonical form of the request's text; one without anything in it was not given.
fn given_text(carriers: &Carriers) -> Result<Option<String>, Fault> {
    if carriers.text.len() > canon::MAX_BYTES {
        return canon::canonical(&carriers.text).map(Some).map_err(|e| Fault::malformed(e.to_string()));
    }
    Ok(canon::canonical(&carriers.text).ok())
}

/// Whether two sources name different intents or chains. A binding names no chain of its own.
fn differ(a: &Candidate, b: &Candidate) -> bool {
    let by_chain = a.names_chain && b.names_chain && a.anchor.chain != b.anchor.chain;
    let by_intent = match (&a.anchor.intent, &b.anchor.intent) {
        (Some(a), Some(b)) => a.id != b.id,
        _ => a.anchor.digest != b.anchor.digest,
    };
    by_chain || by_intent
}
