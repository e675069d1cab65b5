//! Who calls, how urgently, and for which intent: metadata of a call.

use std::sync::Arc;
use std::time::Instant;

use rhumb_drift::InputError;
use rhumb_engine::{Admission, Call, Lane, Tenant};
use rhumb_ledger::intent::carriers::TokenPlace;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::callers::Identity;
use crate::carried::Carried;
use crate::errors;
use crate::surface::Surface;

const LANE: &str = "rhumb-lane";
const TENANT: &str = "rhumb-tenant";
/// The header of Transaction Tokens, and ours for deployments where that is another issuer's.
const TOKENS: [(&str, TokenPlace); 2] =
    [("txn-token", TokenPlace::TxnToken), ("rhumb-intent", TokenPlace::RhumbIntent)];

/// Who calls, how urgently, and for which intent.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// How urgent it is.
    pub lane: Lane,
    /// On whose account.
    pub tenant: Tenant,
    /// Who; `None` where callers are not authenticated.
    pub identity: Option<Arc<Identity>>,
    /// Which contract it came by.
    pub surface: Surface,
    /// What came with the call, rather than in its request, that may lead to an intent.
    pub carried: Carried,
    /// Whether it saw all of the action; one that did not is answered TRUNCATED at best.
    pub sees_whole: bool,
}

impl Caller {
    /// Reads the metadata and who was let in; `lane` is that of callers who name none.
    ///
    /// # Errors
    /// INVALID_ARGUMENT that names the key whose value is none, or that is there twice; PERMISSION_DENIED for a tenant
    /// that is not the caller's.
    pub fn of<T>(request: &Request<T>, lane: Lane) -> Result<Self, Status> {
        let identity = request.extensions().get::<Arc<Identity>>().cloned();
        let caller = Self::read(request.metadata(), lane, identity).map_err(|e| errors::bad_request(&e))?;
        caller.check_tenant()?;
        Ok(caller)
    }

    /// The command line.
    pub fn local() -> Self {
        Self::plain(Lane::Bulk, Tenant::default())
    }

    /// Somebody unknown, who carries nothing.
    pub fn plain(lane: Lane, tenant: Tenant) -> Self {
        let (surface, carried) = (Surface::default(), Carried::default());
        Self { lane, tenant, identity: None, surface, carried, sees_whole: true }
    }

    fn read(metadata: &MetadataMap, lane: Lane, identity: Option<Arc<Identity>>) -> Result<Self, InputError> {
        let own = value(metadata, LANE)?.map(|text| text.parse().map_err(|e| InputError::new(LANE, e)));
        let default = identity.as_ref().and_then(|identity| identity.tenants.first().map(String::as_str));
        let tenant = value(metadata, TENANT)?.or(default).map(Tenant::new).transpose()?;
        let mut caller = Self::plain(own.transpose()?.unwrap_or(lane), tenant.unwrap_or_default());
        for (key, place) in TOKENS {
            let values = all(metadata, key)?.into_iter();
            caller.carried.tokens.extend(values.map(|token| (place, token)));
        }
        Ok(Self { identity, ..caller })
    }

    fn check_tenant(&self) -> Result<(), Status> {
        let Some(identity) = &self.identity else { return Ok(()) };
        let named = self.tenant.as_str();
        if identity.has_tenant(named) {
            return Ok(());
        }
        Err(errors::forbidden(&format!("{TENANT}: {named} is none of the caller's tenants")))
    }

    /// The same on another account, if the caller may name it.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for what is no tenant's name; PERMISSION_DENIED for one that is not the caller's.
    pub fn on_account(self, tenant: &str) -> Result<Self, Status> {
        let tenant = Tenant::new(tenant).map_err(|e| errors::bad_request(&e))?;
        let caller = Self { tenant, ..self };
        caller.check_tenant()?;
        Ok(caller)
    }

    /// The authenticated caller's name; empty where callers are not authenticated.
    pub fn name(&self) -> &str {
        self.identity.as_ref().map_or("", |identity| identity.name.as_str())
    }

    /// A single request: it is scored now or refused.
    pub fn one(&self, deadline: Instant) -> Call {
        self.call(deadline, Admission::Refuse)
    }

    /// One of many: it waits for room, but never with an action that is held back meanwhile.
    pub fn one_of_many(&self, deadline: Instant) -> Call {
        let refuse = self.lane == Lane::Enforcement;
        self.call(deadline, if refuse { Admission::Refuse } else { Admission::Wait })
    }

    fn call(&self, deadline: Instant, admission: Admission) -> Call {
        Call { lane: self.lane, tenant: self.tenant.clone(), deadline: Some(deadline), admission }
    }
}

fn value<'a>(metadata: &'a MetadataMap, key: &str) -> Result<Option<&'a str>, InputError> {
    let mut values = metadata.get_all(key).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(InputError::new(key, "is given twice"));
    }
    let visible = |_| InputError::new(key, "holds bytes that are no visible ASCII");
    first.map(|value| value.to_str().map_err(visible)).transpose()
}

fn all(metadata: &MetadataMap, key: &str) -> Result<Vec<String>, InputError> {
    let visible = |_| InputError::new(key, "holds bytes that are no visible ASCII");
    metadata.get_all(key).iter().map(|value| value.to_str().map(str::to_owned).map_err(visible)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callers::{CallerConfig, Callers, Role};
    use tonic::metadata::MetadataValue;

    fn metadata(pairs: &[(&'static str, &[u8])]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for (key, value) in pairs {
            metadata.append(*key, MetadataValue::try_from(*value).unwrap());
        }
        metadata
    }

    fn read(pairs: &[(&'static str, &[u8])]) -> Result<Caller, String> {
        Caller::read(&metadata(pairs), Lane::Bulk, None).map_err(|e| e.field)
    }

    #[test]
    fn an_authenticated_caller_has_its_own_tenants_only() {
        let config = CallerConfig {
            name: "edge".into(),
            token_sha256: None,
            certificate_sha256: Some("4c".repeat(32)),
            tenants: vec!["blue".into(), "green".into()],
            may: vec![Role::Score],
        };
        let callers = Callers::new(&[config]).unwrap();
        // No certificate has this digest: the identity is taken from the table itself.
        let identity = callers.certificates().next().cloned();
        let of = |pairs: &[(&'static str, &[u8])]| {
            let mut request = Request::from_parts(metadata(pairs), tonic::Extensions::default(), ());
            request.extensions_mut().insert(identity.clone().unwrap());
            Caller::of(&request, Lane::Bulk)
        };
        assert_eq!(of(&[]).unwrap().tenant, Tenant::new("blue").unwrap());
        assert_eq!(of(&[(TENANT, b"green")]).unwrap().tenant, Tenant::new("green").unwrap());
        assert_eq!(of(&[(TENANT, b"red")]).unwrap_err().code(), tonic::Code::PermissionDenied);
        let for_tenant = |name| of(&[]).unwrap().on_account(name);
        assert_eq!(for_tenant("green").unwrap().tenant, Tenant::new("green").unwrap());
        assert_eq!(for_tenant("red").unwrap_err().code(), tonic::Code::PermissionDenied);
    }

    #[test]
    fn tokens_are_kept_as_often_as_they_were_given() {
        let caller = read(&[("txn-token", b"a"), ("txn-token", b"b"), ("rhumb-intent", b"c")]).unwrap();
        let tokens = caller.carried.tokens.iter().map(|(place, token)| (*place, token.as_str()));
        let txn = TokenPlace::TxnToken;
        assert!(tokens.eq([(txn, "a"), (txn, "b"), (TokenPlace::RhumbIntent, "c")]));
    }

    #[test]
    fn lane_and_tenant_are_read_and_have_defaults() {
        assert_eq!(read(&[]), Ok(Caller::plain(Lane::Bulk, Tenant::default())));
        let both = read(&[(LANE, b"interactive"), (TENANT, b"team-7")]).unwrap();
        assert_eq!(both, Caller::plain(Lane::Interactive, Tenant::new("team-7").unwrap()));
        assert!(read(&[(TENANT, &[b'x'; 128])]).is_ok());
    }

    #[test]
    fn what_is_none_is_refused_by_its_name() {
        for lane in [b"urgent".as_slice(), b"", b"Bulk", b"bulk,bulk"] {
            assert_eq!(read(&[(LANE, lane)]), Err(LANE.to_owned()), "{lane:?}");
        }
        for tenant in [b"".as_slice(), &[b'x'; 129], b"a b", b"t\xc3\xa9"] {
            assert_eq!(read(&[(TENANT, tenant)]), Err(TENANT.to_owned()), "{tenant:?}");
        }
        assert_eq!(read(&[(LANE, b"bulk"), (LANE, b"bulk")]), Err(LANE.to_owned()));
    }

    #[test]
    fn enforcement_never_waits_for_room() {
        let caller = |lane| Caller::plain(lane, Tenant::default());
        let now = Instant::now();
        assert_eq!(caller(Lane::Enforcement).one_of_many(now).admission, Admission::Refuse);
        assert_eq!(caller(Lane::Bulk).one_of_many(now).admission, Admission::Wait);
        assert_eq!(caller(Lane::Bulk).one(now).admission, Admission::Refuse);
    }
}
