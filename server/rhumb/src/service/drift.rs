//! `DriftService`: messages in, decisions, messages out.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::stream::{Stream, StreamExt as _};
use rhumb_engine::Lane;
use rhumb_gateway::Front;
use rhumb_gateway::batch::{at_most_many, decide_all, decide_one};
use rhumb_gateway::caller::Caller;
use rhumb_gateway::chain::score_chain;
use rhumb_gateway::front::Deadline;
use rhumb_proto::v1::drift_service_server::DriftService;
use rhumb_proto::v1::{
    EngineStats, GetStatsRequest, ScoreBatchRequest, ScoreBatchResponse, ScoreChainRequest,
    ScoreChainResponse, ScoreRequest, ScoreResponse,
};
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::{errors, stats};

/// The service.
#[derive(Clone)]
pub struct DriftApi {
    front: Front,
    default_deadline: Duration,
    stream_concurrency: usize,
}

impl DriftApi {
    /// A service over an engine that may come later.
    pub fn new(front: Front, default_deadline: Duration, stream_concurrency: usize) -> Self {
        Self { front, default_deadline, stream_concurrency }
    }

    /// When the caller stops waiting: its own deadline, counted from the head of its call, else the configured one.
    fn deadline(&self, extensions: &Extensions) -> Instant {
        let own = extensions.get::<Deadline>().map(|d| d.0);
        own.unwrap_or_else(|| Instant::now() + self.default_deadline)
    }
}

#[tonic::async_trait]
impl DriftService for DriftApi {
    async fn score(&self, request: Request<ScoreRequest>) -> Result<Response<ScoreResponse>, Status> {
        let decider = self.front.decider()?;
        let caller = Caller::of(&request, Lane::Enforcement)?;
        let call = caller.one(self.deadline(request.extensions()));
        let decided = decider.decide(request.into_inner(), &caller, &call).await;
        decided.map(Response::new).map_err(|e| errors::status(&e))
    }

    async fn score_batch(
        &self,
        request: Request<ScoreBatchRequest>,
    ) -> Result<Response<ScoreBatchResponse>, Status> {
        let decider = &self.front.decider()?;
        let caller = &Caller::of(&request, Lane::Bulk)?;
        let call = caller.one_of_many(self.deadline(request.extensions()));
        let responses = decide_all(decider, request.into_inner().requests, caller, &call).await?;
        Ok(Response::new(ScoreBatchResponse { responses }))
    }

    type ScoreStreamStream = Pin<Box<dyn Stream<Item = Result<ScoreResponse, Status>> + Send>>;

    async fn score_stream(
        &self,
        request: Request<Streaming<ScoreRequest>>,
    ) -> Result<Response<Self::ScoreStreamStream>, Status> {
        let decider = self.front.decider()?;
        // A stream may live for hours; each of its requests has the configured time.
        let wait = self.default_deadline;
        let caller = Caller::of(&request, Lane::Bulk)?;
        let scores = request.into_inner().map(move |item| {
            let (decider, caller) = (decider.clone(), caller.clone());
            let call = caller.one_of_many(Instant::now() + wait);
            async move { decide_one(&decider, item?, &caller, call).await }
        });
        Ok(Response::new(Box::pin(scores.buffer_unordered(self.stream_concurrency))))
    }

    async fn score_chain(
        &self,
        request: Request<ScoreChainRequest>,
    ) -> Result<Response<ScoreChainResponse>, Status> {
        let decider = self.front.decider()?;
        let caller = Caller::of(&request, Lane::Interactive)?;
        let call = caller.one_of_many(self.deadline(request.extensions()));
        let request = request.into_inner();
        at_most_many("hops", request.hops.len())?;
        let response =
            score_chain(&decider, request, &caller, &call).await.map_err(|e| errors::status(&e))?;
        Ok(Response::new(response))
    }

    async fn get_stats(&self, _: Request<GetStatsRequest>) -> Result<Response<EngineStats>, Status> {
        let stats = self.front.decider()?.engine.stats();
        Ok(Response::new(stats::message(&stats, self.front.unscored().counts())))
    }
}
