//! Many actions at once: each costs itself alone.

use futures::stream::{self, StreamExt as _};
use rhumb_drift::InputError;
use rhumb_engine::{Call, EngineError};
use rhumb_proto::v1::{ScoreRequest, ScoreResponse};
use tonic::Status;

use crate::caller::Caller;
use crate::convert::{self, Unread};
use crate::decide::Decider;
use crate::errors::{self, GatewayError};

/// Requests of one batch, hops of one chain.
pub const MANY: usize = 1024;
/// Requests of one call that are worked on at once.
const CONCURRENCY: usize = 64;

/// Decides about many requests; answers stand in their order.
///
/// # Errors
/// Too many of them, or an engine that has stopped.
pub async fn decide_all(
    decider: &Decider,
    requests: Vec<ScoreRequest>,
    caller: &Caller,
    call: &Call,
) -> Result<Vec<ScoreResponse>, Status> {
    at_most_many("requests", requests.len())?;
    let decided = requests.into_iter().map(|request| decide_one(decider, request, caller, call.clone()));
    let answers: Vec<_> = stream::iter(decided).buffered(CONCURRENCY).collect().await;
    answers.into_iter().collect()
}

/// Decides about one request of many: what cannot be read gets an answer that says so.
///
/// # Errors
/// An engine that has stopped.
pub async fn decide_one(
    decider: &Decider,
    request: ScoreRequest,
    caller: &Caller,
    call: Call,
) -> Result<ScoreResponse, Status> {
    let request_id = request.request_id.clone();
    match decider.decide(request.clone(), caller, &call).await {
        Ok(response) => Ok(response),
        Err(GatewayError::Engine(EngineError::Input(e))) => {
            let recorded = decider.unread(request, &Unread::unparsable(e.to_string()), caller).await;
            recorded.or_else(|e| failed(decider, request_id, &e))
        }
        Err(e) => failed(decider, request_id, &e),
    }
}

/// One that is late or lost costs itself alone.
fn failed(decider: &Decider, request_id: String, error: &GatewayError) -> Result<ScoreResponse, Status> {
    match error {
        GatewayError::Engine(EngineError::Stopped | EngineError::NoEncoder) => Err(errors::status(error)),
        _ => Ok(convert::failed(request_id, errors::reason(error), &decider.engine)),
    }
}

/// Refuses a list that is too long.
///
/// # Errors
/// INVALID_ARGUMENT that names the field.
pub fn at_most_many(field: &str, count: usize) -> Result<(), Status> {
    if count > MANY {
        let problem = format!("{count} items, at most {MANY} are taken");
        return Err(errors::bad_request(&InputError::new(field, problem)));
    }
    Ok(())
}
