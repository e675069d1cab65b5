//! The one list of reason codes.
//!
//! A code is a contract: dashboards and policies match on it. It never changes its meaning and is never removed.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $code;)+
        /// All of them.
        pub const ALL: &[&str] = &[$($code),+];
    };
}

reasons! {
    /// The action drifts from the request.
    INTENT_DRIFT = "intent_drift";
    /// A person has to decide.
    HUMAN_NEEDED = "human_needed";
    /// Nothing in the request leads to an intent.
    INTENT_MISSING = "intent_missing";
    /// A token that is not well formed, or more than one where one may be.
    INTENT_MALFORMED = "intent_malformed";
    /// The signature is not that of a key of the issuer.
    INTENT_SIGNATURE = "intent_signature";
    /// The issuer is not configured, or not for this tenant.
    INTENT_ISSUER = "intent_issuer";
    /// The token is meant for another trust domain.
    INTENT_AUDIENCE = "intent_audience";
    /// The token, the binding or the intent has ended, has not begun, or is meant to live too long.
    INTENT_EXPIRED = "intent_expired";
    /// The text is not the one that was registered.
    INTENT_TAMPERED = "intent_tampered";
    /// The reference is good, but its text is nowhere.
    INTENT_TEXT_UNAVAILABLE = "intent_text_unavailable";
    /// The intent was revoked.
    INTENT_REVOKED = "intent_revoked";
    /// The intent was amended since.
    INTENT_SUPERSEDED = "intent_superseded";
    /// Two valid references to different intents.
    INTENT_CONFLICT = "intent_conflict";
    /// The delegation is too deep or comes back to an agent.
    INTENT_DELEGATION_LOOP = "intent_delegation_loop";
    /// The intent hands its content to an outside document.
    INTENT_DELEGATED = "intent_delegated";
    /// The intent is trusted less than the policy demands.
    PROVENANCE_TOO_LOW = "provenance_too_low";
    /// The tool is not among those allowed.
    CONSTRAINT_TOOL = "constraint_tool";
    /// The server is not among those allowed.
    CONSTRAINT_SERVER = "constraint_server";
    /// The effect is not among those allowed.
    CONSTRAINT_EFFECT = "constraint_effect";
    /// An amount is above its limit, or cannot be read.
    CONSTRAINT_AMOUNT = "constraint_amount";
    /// The time that the principal allowed is over.
    CONSTRAINT_EXPIRED = "constraint_expired";
    /// The action could not be read.
    ACTION_UNPARSABLE = "action_unparsable";
    /// Part of the action was not seen.
    ACTION_TRUNCATED = "action_truncated";
    /// Header and body tell different stories.
    HEADER_BODY_MISMATCH = "header_body_mismatch";
    /// A method that nobody knows, where the operator lets none through.
    METHOD_REFUSED = "method_refused";
    /// A connection whose content nobody would see, where the operator lets none through.
    UPGRADE_REFUSED = "upgrade_refused";
    /// A call that nothing was wrong with, in a batch with one that was refused.
    BATCH_REFUSED = "batch_refused";
    /// What the operator says of a route, or of its caller, cannot be used.
    ROUTE_MISCONFIGURED = "route_misconfigured";
    /// The same action of the same chain came again.
    ACTION_REPLAYED = "action_replayed";
    /// An address that neither the request nor trusted context knows.
    NEW_ADDRESS = "new_address";
    /// The words were not kept.
    CONTENT_NOT_RECORDED = "content_not_recorded";
    /// No room.
    SCORER_OVERLOADED = "scorer_overloaded";
    /// Too late.
    SCORER_TIMEOUT = "scorer_timeout";
    /// Loading, draining or broken.
    SCORER_UNAVAILABLE = "scorer_unavailable";
    /// No such intent for this tenant.
    INTENT_NOT_FOUND = "intent_not_found";
    /// Not the current version.
    INTENT_VERSION_STALE = "intent_version_stale";
    /// Too many versions.
    INTENT_VERSION_LIMIT = "intent_version_limit";
    /// The request id was used for other content.
    REQUEST_ID_REUSED = "request_id_reused";
    /// The key belongs, or belonged a day ago, to another intent.
    BINDING_TAKEN = "binding_taken";
    /// Too many keys.
    BINDING_LIMIT = "binding_limit";
    /// The chain has drifted as a whole, though the action alone has not.
    CHAIN_DRIFT = "chain_drift";
    /// The tool's description is not the one that was pinned.
    TOOL_CHANGED = "tool_changed";
    /// Nothing stood out.
    ALIGNED = "aligned";
    /// No configured caller.
    CALLER_UNKNOWN = "caller_unknown";
    /// A caller who may not do this.
    CALLER_FORBIDDEN = "caller_forbidden";
    /// Too much waits to be recorded.
    LEDGER_FULL = "ledger_full";
    /// The ledger cannot record, so there is no answer.
    LEDGER_UNAVAILABLE = "ledger_unavailable";
    /// The caller must be known for this.
    CALLER_UNAUTHENTICATED = "caller_unauthenticated";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_keeps_to_the_grammar() {
        for code in ALL {
            let mut bytes = code.bytes();
            assert!(bytes.next().is_some_and(|b| b.is_ascii_lowercase()), "{code}");
            assert!(bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{code}");
            assert!(code.len() <= 64, "{code}");
        }
    }

    #[test]
    fn no_reason_is_listed_twice() {
        let unique: std::collections::BTreeSet<_> = ALL.iter().collect();
        assert_eq!(unique.len(), ALL.len());
    }
}
