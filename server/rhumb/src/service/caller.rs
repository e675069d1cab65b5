//! Who calls, and how urgently: metadata of a call.

use std::time::Instant;

use rhumb_drift::InputError;
use rhumb_engine::{Admission, Call, Lane, Tenant};
use tonic::metadata::MetadataMap;

const LANE: &str = "rhumb-lane";
const TENANT: &str = "rhumb-tenant";

/// Lane and tenant of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    lane: Lane,
    tenant: Tenant,
}

impl Caller {
    /// Reads the metadata; `lane` is that of callers who name none.
    ///
    /// # Errors
    /// Names the key whose value is none, or that is there twice.
    pub fn of(metadata: &MetadataMap, lane: Lane) -> Result<Self, InputError> {
        let own = value(metadata, LANE)?.map(|text| text.parse().map_err(|e| InputError::new(LANE, e)));
        let tenant = value(metadata, TENANT)?.map(Tenant::new);
        Ok(Self { lane: own.transpose()?.unwrap_or(lane), tenant: tenant.transpose()?.unwrap_or_default() })
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

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::MetadataValue;

    fn read(pairs: &[(&'static str, &[u8])]) -> Result<Caller, String> {
        let mut metadata = MetadataMap::new();
        for (key, value) in pairs {
            metadata.append(*key, MetadataValue::try_from(*value).unwrap());
        }
        Caller::of(&metadata, Lane::Bulk).map_err(|e| e.field)
    }

    #[test]
    fn lane_and_tenant_are_read_and_have_defaults() {
        assert_eq!(read(&[]), Ok(Caller { lane: Lane::Bulk, tenant: Tenant::default() }));
        let both = read(&[(LANE, b"interactive"), (TENANT, b"team-7")]).unwrap();
        assert_eq!(both, Caller { lane: Lane::Interactive, tenant: Tenant::new("team-7").unwrap() });
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
        let caller = |lane| Caller { lane, tenant: Tenant::default() };
        let now = Instant::now();
        assert_eq!(caller(Lane::Enforcement).one_of_many(now).admission, Admission::Refuse);
        assert_eq!(caller(Lane::Bulk).one_of_many(now).admission, Admission::Wait);
        assert_eq!(caller(Lane::Bulk).one(now).admission, Admission::Refuse);
    }
}
