//! Who is let in, and what they may ask for.

use std::sync::Arc;

use rhumb_drift::InputError;
use rhumb_engine::Lane;
use rhumb_ledger::BindingKind;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};

use super::OpenShell;
use super::token::{Proof, Speaker};
use crate::caller::Caller;
use crate::callers::{Identity, Role};
use crate::decide::now_ms;
use crate::errors;
use crate::surface::Surface;

/// Somebody who was let in.
pub(super) struct Guest {
    /// Who; `None` where callers need no token.
    speaker: Option<Speaker>,
    identity: Option<Arc<Identity>>,
}

impl OpenShell {
    /// Lets in who has a token for this audience, and everybody where none is needed: then the server's own callers have
    /// been asked before.
    ///
    /// # Errors
    /// UNAUTHENTICATED; PERMISSION_DENIED to a caller of another tenant.
    pub(super) async fn admit(
        &self,
        metadata: &MetadataMap,
        extensions: &Extensions,
        audience: &str,
    ) -> Result<Guest, Status> {
        let Some(verifier) = &self.0.verifier else { return self.admit_known(extensions) };
        let refused = |why: String| errors::unauthenticated(&format!("authorization: {why}"));
        let token = bearer(metadata).map_err(|why| refused(why.to_owned()))?;
        let proof = verifier.verify(token, audience, now_ms() / 1000).await;
        let Proof { speaker, subject } = proof.map_err(refused)?;
        let may: &[Role] = match speaker {
            Speaker::Gateway => &[Role::Score, Role::Intents],
            Speaker::Supervisor(_) => &[Role::Score],
        };
        let identity = Identity::proven(subject, self.0.tenant.as_str(), may);
        Ok(Guest { speaker: Some(speaker), identity: Some(Arc::new(identity)) })
    }

    fn admit_known(&self, extensions: &Extensions) -> Result<Guest, Status> {
        let identity = extensions.get::<Arc<Identity>>().cloned();
        let tenant = self.0.tenant.as_str();
        if identity.as_ref().is_some_and(|identity| !identity.has_tenant(tenant)) {
            return Err(errors::forbidden("openshell.tenant is none of the caller's tenants"));
        }
        Ok(Guest { speaker: None, identity })
    }

    /// The caller of what a guest asks for.
    pub(super) fn caller(&self, guest: &Guest, lane: Lane) -> Caller {
        let mut caller = Caller::plain(lane, self.0.tenant.clone());
        caller.surface = Surface::OpenShell;
        caller.identity.clone_from(&guest.identity);
        caller
    }
}

impl Guest {
    /// Refuses supervisors.
    ///
    /// # Errors
    /// UNAUTHENTICATED.
    pub(super) fn must_be_gateway(&self) -> Result<(), Status> {
        match &self.speaker {
            Some(Speaker::Supervisor(_)) => {
                Err(errors::unauthenticated("authorization: claims: caller_kind: not gateway"))
            }
            Some(Speaker::Gateway) | None => Ok(()),
        }
    }

    /// Refuses everybody but the supervisor of this sandbox.
    ///
    /// # Errors
    /// UNAUTHENTICATED; PERMISSION_DENIED to the supervisor of another sandbox.
    pub(super) fn must_supervise(&self, sandbox: &str) -> Result<(), Status> {
        match &self.speaker {
            Some(Speaker::Gateway) => {
                Err(errors::unauthenticated("authorization: claims: caller_kind: not supervisor"))
            }
            Some(Speaker::Supervisor(own)) if own != sandbox => {
                Err(errors::forbidden("context.sandbox_id: not the sandbox of the caller's token"))
            }
            Some(Speaker::Supervisor(_)) | None => Ok(()),
        }
    }

    /// Adds the sandbox to what leads to an intent: proven where a token vouches for it.
    pub(super) fn vouch(&self, caller: &mut Caller, sandbox: &str) {
        match &self.speaker {
            Some(_) => caller.carried.proven_key(BindingKind::OpenshellSandbox, sandbox),
            None => caller.carried.key(BindingKind::OpenshellSandbox, sandbox),
        }
    }
}

/// The one token of a call.
fn bearer(metadata: &MetadataMap) -> Result<&str, &'static str> {
    let mut values = metadata.get_all("authorization").iter();
    let first = values.next().ok_or("missing")?;
    if values.next().is_some() {
        return Err("given twice");
    }
    let (scheme, token) =
        first.to_str().ok().and_then(|text| text.split_once(' ')).ok_or("not a bearer token")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("not a bearer token");
    }
    Ok(token.trim())
}

/// What is wrong with a message, as a status.
pub(super) fn bad(field: &str, problem: impl Into<String>) -> Status {
    errors::bad_request(&InputError::new(field, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_token_is_one_and_nothing_else_is() {
        let read = |values: &[&str]| {
            let mut metadata = MetadataMap::new();
            values.iter().for_each(|value| {
                metadata.append("authorization", value.parse().unwrap());
            });
            bearer(&metadata).map(str::to_owned)
        };
        assert_eq!(read(&["Bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(read(&["bearer  abc "]), Ok("abc".to_owned()));
        assert_eq!(read(&[]), Err("missing"));
        assert_eq!(read(&["Bearer abc", "Bearer abc"]), Err("given twice"));
        for other in ["Basic abc", "abc", ""] {
            assert_eq!(read(&[other]), Err("not a bearer token"), "{other}");
        }
    }
}
