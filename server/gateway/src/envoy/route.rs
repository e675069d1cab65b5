//! What the operator says of a route: the keys `rhumb.*` of its `context_extensions`.

use std::collections::HashMap;

use rhumb_drift::InputError;
use rhumb_proto::v1;

use crate::convert;
use crate::message::Kind;
use crate::policy::Mode;

/// Keys that are ours.
const OURS: &str = "rhumb.";
/// Bytes of a server's name.
const SERVER_BYTES: usize = 1024;
/// Bytes of a tenant's name, of which more is asked where it is looked for among the caller's.
const TENANT_BYTES: usize = 128;
/// Bytes of a policy's name.
const POLICY_BYTES: usize = 256;

/// What the operator says of a route.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Route {
    /// What its requests are.
    pub kind: Kind,
    /// The tool server, in place of the host.
    pub server: Option<String>,
    /// A name that rules of the policy may ask for.
    pub policy: String,
    /// In place of the policy's mode.
    pub mode: Option<Mode>,
    /// On whose account.
    pub tenant: Option<String>,
    /// The least provenance.
    pub min_provenance: v1::Provenance,
}

impl Route {
    /// Reads the keys. Those that are not ours are for somebody else; one that is ours, and that nobody knows, is a mistake.
    ///
    /// # Errors
    /// Names the key.
    pub fn of(extensions: &HashMap<String, String>) -> Result<Self, InputError> {
        let mut route = Self::default();
        for (key, value) in extensions {
            let Some(own) = key.strip_prefix(OURS) else { continue };
            route.set(own, value).map_err(|problem| InputError::new(key, problem))?;
        }
        Ok(route)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "kind" => self.kind = value.parse()?,
            "server" => self.server = Some(name(value, SERVER_BYTES)?),
            "policy" => self.policy = name(value, POLICY_BYTES)?,
            "mode" => self.mode = Some(mode(value)?),
            "tenant" => self.tenant = Some(name(value, TENANT_BYTES)?),
            "min_provenance" => self.min_provenance = provenance(value)?,
            _ => return Err("is none of kind, server, policy, mode, tenant, min_provenance".to_owned()),
        }
        Ok(())
    }
}

fn name(value: &str, most: usize) -> Result<String, String> {
    match value.len() {
        0 => Err("is empty; leave it out".to_owned()),
        n if n > most => Err(format!("more than {most} bytes")),
        _ => Ok(value.to_owned()),
    }
}

fn mode(value: &str) -> Result<Mode, String> {
    Mode::named(value).ok_or_else(|| "is none of enforce, shadow".to_owned())
}

fn provenance(value: &str) -> Result<v1::Provenance, String> {
    let named = convert::provenance_named(value);
    named.ok_or_else(|| "is none of NONE, UNVERIFIED, SERVER_BOUND, SIGNED".to_owned())
}
