//! `POST /v1/score` and `POST /v1/score:batch`: the messages of `DriftService` as JSON.

use rhumb_proto::json;
use rhumb_proto::v1::{ScoreBatchRequest, ScoreBatchResponse, ScoreRequest};
use serde::de::DeserializeOwned;

use super::door::Door;
use super::error::HttpError;
use super::{Asked, Inside, Reply, body, reply};
use crate::batch::decide_all;

/// One message, strictly: an unknown field is an error, since a misspelt `arguments` must not score as none.
///
/// # Errors
/// 400 that names the field.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    Ok(json::parse(body::text(bytes)?)?)
}

/// One action.
///
/// # Errors
/// As `Score`.
pub async fn one(inside: &Inside, asked: Asked) -> Result<Reply, HttpError> {
    let request: ScoreRequest = read(&asked.body)?;
    let call = asked.caller.one(asked.deadline);
    let response = asked.decider.decide(request, &asked.caller, &call).await?;
    inside.counted(Door::Score, &response);
    reply(&response)
}

/// Many of them.
///
/// # Errors
/// As `ScoreBatch`.
pub async fn many(inside: &Inside, asked: Asked) -> Result<Reply, HttpError> {
    let ScoreBatchRequest { requests } = read(&asked.body)?;
    let call = asked.caller.one_of_many(asked.deadline);
    let responses = decide_all(&asked.decider, requests, &asked.caller, &call).await?;
    responses.iter().for_each(|response| inside.counted(Door::ScoreBatch, response));
    reply(&ScoreBatchResponse { responses })
}
