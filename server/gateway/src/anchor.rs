//! What of a request leads to an intent.

use rhumb_drift::InputError;
use rhumb_ledger::intent::carriers::{Carriers, TokenPlace};
use rhumb_ledger::{BindingKey, BindingKind};
use rhumb_proto::v1;

use crate::caller::Caller;
use crate::carried::Carried;

/// Keys of one request: each is looked up.
const BINDINGS: usize = 64;

/// Everything in a request that may lead to an intent. The token is taken out of the request: it is in no record.
///
/// # Errors
/// Names the binding that cannot be used.
pub fn carriers(
    intent: &mut Option<v1::Intent>,
    bindings: &[v1::Binding],
    chain_id: &str,
    caller: &Caller,
) -> Result<Carriers, InputError> {
    let token = intent.as_mut().map(|intent| std::mem::take(&mut intent.token)).unwrap_or_default();
    let given = intent.clone().unwrap_or_default();
    let Carried { tokens, keys: carried, verified_claims, hint_id } = caller.carried.clone();
    let mut keys = keys(bindings)?;
    if !chain_id.is_empty() {
        keys.push(BindingKey { kind: BindingKind::Chain, value: chain_id.to_owned() });
    }
    Ok(Carriers {
        tenant: caller.tenant.as_str().to_owned(),
        caller: caller.identity.as_ref().map(|identity| identity.name.clone()),
        tokens: [(TokenPlace::Field, token)].into_iter().chain(tokens).collect(),
        verified_claims,
        // What the caller's own credential names comes before what its message says.
        keys: carried.into_iter().chain(keys.into_iter().map(Carried::said)).collect(),
        hint_id,
        intent_id: given.intent_id,
        text: given.text,
        principal: given.principal,
    })
}

/// Keys of a message.
///
/// # Errors
/// Names the one whose kind is none.
pub fn keys(bindings: &[v1::Binding]) -> Result<Vec<BindingKey>, InputError> {
    let kind = |(i, binding): (usize, &v1::Binding)| {
        let kind = match binding.kind() {
            v1::BindingKind::Trace => BindingKind::Trace,
            v1::BindingKind::McpSession => BindingKind::McpSession,
            v1::BindingKind::OpenshellSandbox => BindingKind::OpenshellSandbox,
            v1::BindingKind::A2aContext => BindingKind::A2aContext,
            v1::BindingKind::Chain => BindingKind::Chain,
            v1::BindingKind::Unspecified => {
                return Err(InputError::new(format!("bindings[{i}].kind"), "is missing or not known"));
            }
        };
        Ok(BindingKey { kind, value: binding.value.clone() })
    };
    if bindings.len() > BINDINGS {
        let problem = format!("{} keys, at most {BINDINGS} are taken", bindings.len());
        return Err(InputError::new("bindings", problem));
    }
    bindings.iter().enumerate().map(kind).collect()
}

/// A key as a message.
pub fn binding(key: &BindingKey) -> v1::Binding {
    let kind = match key.kind {
        BindingKind::Trace => v1::BindingKind::Trace,
        BindingKind::McpSession => v1::BindingKind::McpSession,
        BindingKind::OpenshellSandbox => v1::BindingKind::OpenshellSandbox,
        BindingKind::A2aContext => v1::BindingKind::A2aContext,
        BindingKind::Chain => v1::BindingKind::Chain,
    };
    v1::Binding { kind: kind.into(), value: key.value.clone() }
}
