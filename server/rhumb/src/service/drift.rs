//! `DriftService`: messages in, engine calls, messages out.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::stream::{self, Stream, StreamExt as _};
use rhumb_drift::{InputError, Intent};
use rhumb_engine::{Call, Engine, EngineError, Lane, ScoreInput};
use rhumb_gateway::caller::Caller;
use rhumb_proto::v1::drift_service_server::DriftService;
use rhumb_proto::v1::{
    EngineStats, GetStatsRequest, Hop, HopScore, ScoreBatchRequest, ScoreBatchResponse, ScoreChainRequest,
    ScoreChainResponse, ScoreRequest, ScoreResponse,
};
use tokio::sync::watch;
use tonic::{Extensions, Request, Response, Status, Streaming};

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

fn at_most_many(field: &str, count: usize) -> Result<(), Status> {
    if count > MANY {
        let problem = format!("{count} items, at most {MANY} are taken");
        return Err(errors::bad_request(&InputError::new(field, problem)));
    }
    Ok(())
}

/// Scores every hop against the origin and says where drift began.
///
/// # Errors
/// Names the first hop that cannot be read; or why nothing was scored.
pub async fn score_chain(
    engine: &Engine,
    request: ScoreChainRequest,
    call: &Call,
) -> Result<ScoreChainResponse, EngineError> {
    let intent = convert::intent(request.intent);
    let inputs = request.hops.into_iter().enumerate().map(|(i, hop)| hop_input(i, hop, &intent));
    let inputs: Vec<(HopScore, ScoreInput)> = inputs.collect::<Result<_, _>>()?;
    let scores = stream::iter(inputs.into_iter().map(|(mut hop, input)| async move {
        let id = hop.score.take().unwrap_or_default().request_id;
        let answer = engine.score(input, call).await.map_err(|e| match e {
            EngineError::Input(e) => EngineError::Input(of_hop(hop.hop, e)),
            other => other,
        })?;
        hop.score = Some(convert::response(id, answer, engine));
        Ok::<_, EngineError>(hop)
    }));
    let hops: Vec<HopScore> =
        scores.buffered(CONCURRENCY).collect::<Vec<_>>().await.into_iter().collect::<Result<_, _>>()?;
    Ok(chain_response(request.chain_id, intent, hops))
}

/// Hops are counted from 1, places in the message from 0. What concerns the intent concerns the whole chain.
fn of_hop(hop: u32, e: InputError) -> InputError {
    if e.field.starts_with("intent") {
        return e;
    }
    InputError::new(format!("hops[{}].{}", hop.saturating_sub(1), e.field), e.problem)
}

fn hop_input(index: usize, hop: Hop, intent: &Intent) -> Result<(HopScore, ScoreInput), InputError> {
    let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let within = |e: InputError| of_hop(number, e);
    convert::check_request_id(&hop.request_id).map_err(within)?;
    let action = hop.action.ok_or_else(|| within(InputError::new("action", "is missing")))?;
    let input = ScoreInput {
        intent: intent.clone(),
        action: convert::action(action).map_err(within)?,
        context: hop.context.into_iter().map(convert::context).collect(),
    };
    // The id waits in the place of the score until the score is there.
    let score = ScoreResponse { request_id: hop.request_id, ..ScoreResponse::default() };
    Ok((HopScore { hop: number, agent: hop.agent, delegator: hop.delegator, score: Some(score) }, input))
}

fn chain_response(chain_id: String, intent: Intent, hops: Vec<HopScore>) -> ScoreChainResponse {
    let drift = |hop: &HopScore| hop.score.as_ref().and_then(|s| s.drift);
    let drifted = |hop: &&HopScore| {
        let threshold = hop.score.as_ref().and_then(|s| s.threshold);
        drift(hop).zip(threshold).is_some_and(|(drift, threshold)| drift >= threshold)
    };
    let first = hops.iter().find(drifted);
    ScoreChainResponse {
        chain_id,
        first_drifted_hop: first.map(|h| h.hop),
        first_drifted_agent: first.map(|h| h.agent.clone()).unwrap_or_default(),
        first_drifted_delegator: first.map(|h| h.delegator.clone()).unwrap_or_default(),
        principal: intent.principal,
        max_drift: hops.iter().filter_map(drift).max_by(f64::total_cmp),
        hops,
        ..ScoreChainResponse::default()
    }
}

#[tonic::async_trait]
impl DriftService for DriftApi {
    async fn score(&self, request: Request<ScoreRequest>) -> Result<Response<ScoreResponse>, Status> {
        let engine = self.engine()?;
        let caller = Caller::of(&request, Lane::Enforcement)?;
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
        let call = Caller::of(&request, Lane::Bulk)?.one_of_many(self.deadline(request.extensions()));
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
        let caller = Caller::of(&request, Lane::Bulk)?;
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
        let call = Caller::of(&request, Lane::Interactive)?.one_of_many(self.deadline(request.extensions()));
        let request = request.into_inner();
        at_most_many("hops", request.hops.len())?;
        let response = score_chain(&engine, request, &call).await.map_err(|e| errors::status(&e))?;
        Ok(Response::new(response))
    }

    async fn get_stats(&self, _: Request<GetStatsRequest>) -> Result<Response<EngineStats>, Status> {
        Ok(Response::new(stats::message(&self.engine()?.stats())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_begins_at_the_first_hop_that_reached_its_threshold() {
        let hop = |n: u32, drift: Option<f64>| HopScore {
            hop: n,
            agent: format!("a{n}"),
            delegator: format!("d{n}"),
            score: Some(ScoreResponse { drift, threshold: Some(0.5), ..Default::default() }),
        };
        let hops = vec![hop(1, Some(0.1)), hop(2, None), hop(3, Some(0.5)), hop(4, Some(0.9))];
        let chain = chain_response("c".into(), Intent::default(), hops);
        assert_eq!((chain.first_drifted_hop, chain.first_drifted_agent.as_str()), (Some(3), "a3"));
        assert_eq!(chain.max_drift, Some(0.9));
        let none = chain_response("c".into(), Intent::default(), vec![hop(1, None)]);
        assert_eq!((none.first_drifted_hop, none.max_drift), (None, None));
    }
}
