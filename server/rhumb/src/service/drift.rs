//! `DriftService`: messages in, engine calls, messages out.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::stream::{self, Stream, StreamExt as _};
use rhumb_drift::InputError;
use rhumb_engine::{Call, Engine, EngineError, Lane};
use rhumb_proto::v1::drift_service_server::DriftService;
use rhumb_proto::v1::{
    EngineStats, GetStatsRequest, ScoreBatchRequest, ScoreBatchResponse, ScoreChainRequest,
    ScoreChainResponse, ScoreRequest, ScoreResponse,
};
use tokio::sync::watch;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::caller::Caller;
use super::chain::score_chain;
use super::deadline::Deadline;
use super::{errors, stats};
use crate::convert;

/// Requests of one batch, hops of one chain.
pub const MANY: usize = 1024;
/// Requests of one call that are worked on at once.
const CONCURRENCY: usize = 64;

/// The engine, as soon as there is one, and `None` again when the server drains.
pub type EngineWatch = watch::Receiver<Option<Engine>>;

/// The service.
#[derive(Clone)]
pub struct DriftApi {
    engine: EngineWatch,
    default_deadline: Duration,
    stream_concurrency: usize,
}

impl DriftApi {
    /// A service over an engine that may come later.
    pub fn new(engine: EngineWatch, default_deadline: Duration, stream_concurrency: usize) -> Self {
        Self { engine, default_deadline, stream_concurrency }
    }

    fn engine(&self) -> Result<Engine, Status> {
        self.engine
            .borrow()
            .clone()
            .ok_or_else(|| errors::unavailable("the model is loading, or the server is draining"))
    }

    /// When the caller stops waiting: its own deadline, counted from the head of its call, else the configured one.
    fn deadline(&self, extensions: &Extensions) -> Instant {
        let own = extensions.get::<Deadline>().map(|d| d.0);
        own.unwrap_or_else(|| Instant::now() + self.default_deadline)
    }
}

/// Scores one request of many: what cannot be read gets an answer that says so.
async fn score_one(engine: &Engine, request: ScoreRequest, call: Call) -> Result<ScoreResponse, Status> {
    let request_id = request.request_id.clone();
    let input = match convert::input(request) {
        Ok(input) => input,
        Err(e) => return Ok(convert::unparsable(request_id, e.to_string(), Some(engine))),
    };
    match engine.score(input, &call).await {
        Ok(answer) => Ok(convert::response(request_id, answer, engine)),
        Err(EngineError::Input(e)) => Ok(convert::unparsable(request_id, e.to_string(), Some(engine))),
        Err(EngineError::Stopped) => Err(errors::status(&EngineError::Stopped)),
        // One that is late or lost costs itself alone.
        Err(e) => Ok(convert::failed(request_id, errors::reason(&e), engine)),
    }
}

fn caller<T>(request: &Request<T>, lane: Lane) -> Result<Caller, Status> {
    Caller::of(request.metadata(), lane).map_err(|e| errors::bad_request(&e))
}

fn at_most_many(field: &str, count: usize) -> Result<(), Status> {
    if count > MANY {
        let problem = format!("{count} items, at most {MANY} are taken");
        return Err(errors::bad_request(&InputError::new(field, problem)));
    }
    Ok(())
}

#[tonic::async_trait]
impl DriftService for DriftApi {
    async fn score(&self, request: Request<ScoreRequest>) -> Result<Response<ScoreResponse>, Status> {
        let engine = self.engine()?;
        let caller = caller(&request, Lane::Enforcement)?;
        let call = caller.one(self.deadline(request.extensions()));
        let request = request.into_inner();
        let request_id = request.request_id.clone();
        let input = convert::input(request).map_err(|e| errors::bad_request(&e))?;
        let answer = engine.score(input, &call).await.map_err(|e| errors::status(&e))?;
        Ok(Response::new(convert::response(request_id, answer, &engine)))
    }

    async fn score_batch(
        &self,
        request: Request<ScoreBatchRequest>,
    ) -> Result<Response<ScoreBatchResponse>, Status> {
        let engine = &self.engine()?;
        let call = caller(&request, Lane::Bulk)?.one_of_many(self.deadline(request.extensions()));
        let requests = request.into_inner().requests;
        at_most_many("requests", requests.len())?;
        let scores = stream::iter(requests.into_iter().map(|r| score_one(engine, r, call.clone())));
        let answers: Vec<_> = scores.buffered(CONCURRENCY).collect().await;
        let responses = answers.into_iter().collect::<Result<_, _>>()?;
        Ok(Response::new(ScoreBatchResponse { responses }))
    }

    type ScoreStreamStream = Pin<Box<dyn Stream<Item = Result<ScoreResponse, Status>> + Send>>;

    async fn score_stream(
        &self,
        request: Request<Streaming<ScoreRequest>>,
    ) -> Result<Response<Self::ScoreStreamStream>, Status> {
        let engine = self.engine()?;
        // A stream may live for hours; each of its requests has the configured time.
        let wait = self.default_deadline;
        let caller = caller(&request, Lane::Bulk)?;
        let scores = request.into_inner().map(move |item| {
            let (engine, call) = (engine.clone(), caller.one_of_many(Instant::now() + wait));
            async move { score_one(&engine, item?, call).await }
        });
        Ok(Response::new(Box::pin(scores.buffer_unordered(self.stream_concurrency))))
    }

    async fn score_chain(
        &self,
        request: Request<ScoreChainRequest>,
    ) -> Result<Response<ScoreChainResponse>, Status> {
        let engine = self.engine()?;
        let call = caller(&request, Lane::Interactive)?.one_of_many(self.deadline(request.extensions()));
        let request = request.into_inner();
        at_most_many("hops", request.hops.len())?;
        let response = score_chain(&engine, request, &call).await.map_err(|e| errors::status(&e))?;
        Ok(Response::new(response))
    }

    async fn get_stats(&self, _: Request<GetStatsRequest>) -> Result<Response<EngineStats>, Status> {
        Ok(Response::new(stats::message(&self.engine()?.stats())))
    }
}
