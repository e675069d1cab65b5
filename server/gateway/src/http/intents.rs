//! `POST /v1/intents`: `RegisterIntent` as JSON.

use std::sync::Arc;

use rhumb_ledger::LedgerError;
use rhumb_proto::v1::RegisterIntentRequest;

use super::error::HttpError;
use super::{Asked, Reply, reply, score};
use crate::GatewayError;
use crate::intents;

/// Registers.
///
/// # Errors
/// As `RegisterIntent`.
pub async fn register(asked: Asked) -> Result<Reply, HttpError> {
    let request: RegisterIntentRequest = score::read(&asked.body)?;
    let who = intents::registrar(&asked.caller);
    let wanted = intents::registration(request)?;
    let site = Arc::clone(asked.decider.site());
    let ledger = site.ledger.clone();
    let decide = move |tables: &dyn rhumb_ledger::tables::Read, now_ms| {
        intents::outcome(site.registry.decide_register(tables, &who, now_ms, &wanted))
    };
    let failed = |e: LedgerError| HttpError::from(GatewayError::from(e));
    let issued = ledger.change(decide).await.map_err(failed)?;
    reply(&intents::issued(issued))
}
