//! One call: built ahead, sent, and read for what the figures need.

use std::time::Duration;

use clap::ValueEnum;
use rhumb_proto::v1::drift_service_client::DriftServiceClient;
use rhumb_proto::v1::{ScoreBatchRequest, ScoreRequest, ScoreResponse, Status as Scored};
use serde::Serialize;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::workload::Workload;

/// A client with its connection.
pub type Client = DriftServiceClient<Channel>;

/// Which method is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rpc {
    /// `Score`
    Score,
    /// `ScoreBatch`
    Batch,
    /// `ScoreStream`
    Stream,
}

/// How urgent the caller is; the header `rhumb-lane`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// A tool call waits for the answer.
    Enforcement,
    /// A person waits.
    Interactive,
    /// Nobody waits.
    Bulk,
}

/// What all calls of a run have in common.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method.
    pub rpc: Rpc,
    /// Requests of one batch.
    pub batch: usize,
    /// Sent as `grpc-timeout`; not for a stream, whose whole life it would bound.
    pub deadline: Option<Duration>,
    /// Lane; without one the header is left out.
    pub lane: Option<Lane>,
    /// The header `rhumb-tenant`.
    pub tenant: Option<MetadataValue<Ascii>>,
}

/// A call that only needs sending.
#[derive(Debug)]
pub enum Prepared {
    /// One request; boxed, for it is moved from thread to thread.
    Score(Box<Request<ScoreRequest>>),
    /// Many in one message.
    Batch(Request<ScoreBatchRequest>),
}

/// What OK answers held; of a batch each answer counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answers {
    /// With a drift.
    pub scored: u64,
    /// Without one, though the call was OK: a refused part of a batch, or a request that cannot be read.
    pub unscored: u64,
    /// Whose intent was cached.
    pub intent_cached: u64,
    /// Whose action was cached.
    pub action_cached: u64,
    /// What the server says of the last one.
    #[serde(skip)]
    pub server: Option<ServerTimes>,
}

/// Where the server says that the time of a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTimes {
    /// All of it, reading and writing messages aside.
    pub total: Duration,
    /// Waiting for an encoder.
    pub queue: Duration,
    /// In the encoder.
    pub encode: Duration,
}

impl ServerTimes {
    fn of(response: &ScoreResponse) -> Option<Self> {
        let timings = response.timings?;
        let ms = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
        Some(Self { total: ms(timings.total_ms), queue: ms(timings.queue_ms), encode: ms(timings.encode_ms) })
    }
}

impl Lane {
    fn header(self) -> &'static str {
        match self {
            Self::Enforcement => "enforcement",
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }
}

impl Call {
    /// The next call of a workload. A stream is made of single requests.
    pub fn prepare(&self, workload: &Workload) -> Prepared {
        match self.rpc {
            Rpc::Batch => {
                let requests = (0..self.batch).map(|_| workload.next()).collect();
                Prepared::Batch(self.timed(ScoreBatchRequest { requests }))
            }
            Rpc::Score | Rpc::Stream => Prepared::Score(Box::new(self.timed(workload.next()))),
        }
    }

    fn timed<T>(&self, message: T) -> Request<T> {
        let mut request = self.request(message);
        self.deadline.into_iter().for_each(|d| request.set_timeout(d));
        request
    }

    /// A message with lane and tenant.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(lane) = self.lane {
            metadata.insert("rhumb-lane", MetadataValue::from_static(lane.header()));
        }
        if let Some(tenant) = &self.tenant {
            metadata.insert("rhumb-tenant", tenant.clone());
        }
        request
    }
}

impl Prepared {
    /// Sends it and waits for the answer.
    ///
    /// # Errors
    /// The gRPC code; DEADLINE_EXCEEDED also where our own timer was first.
    pub async fn send(self, mut client: Client) -> Result<Answers, Code> {
        let answers = match self {
            Self::Score(request) => client.score(*request).await.map(|r| Answers::of(&[r.into_inner()])),
            Self::Batch(request) => {
                client.score_batch(request).await.map(|r| Answers::of(&r.into_inner().responses))
            }
        };
        answers.map_err(|status| code(&status))
    }
}

/// The transport says CANCELLED when its timer for `grpc-timeout` is first; nothing else here cancels a call.
pub fn code(status: &Status) -> Code {
    match status.code() {
        Code::Cancelled => Code::DeadlineExceeded,
        code => code,
    }
}

impl Answers {
    /// Counts some.
    pub fn of(responses: &[ScoreResponse]) -> Self {
        let count = |of: fn(&ScoreResponse) -> bool| responses.iter().filter(|r| of(r)).count() as u64;
        let scored = count(|r| r.drift.is_some());
        Self {
            scored,
            unscored: responses.len() as u64 - scored,
            intent_cached: count(|r| r.timings.is_some_and(|t| t.intent_cached)),
            action_cached: count(|r| r.timings.is_some_and(|t| t.action_cached)),
            server: responses.last().and_then(ServerTimes::of),
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.scored += other.scored;
        self.unscored += other.unscored;
        self.intent_cached += other.intent_cached;
        self.action_cached += other.action_cached;
        self.server = other.server;
    }
}

/// An answer of a stream as a call of its own: there a refusal is an answer with a reason.
///
/// # Errors
/// The code that the same refusal has as a single call.
pub fn single(response: &ScoreResponse) -> Result<Answers, Code> {
    match (response.status(), response.reason_code.as_str()) {
        (Scored::Failed, "scorer_overloaded") => Err(Code::ResourceExhausted),
        (Scored::Failed, "scorer_timeout") => Err(Code::DeadlineExceeded),
        (Scored::Failed, _) => Err(Code::Unavailable),
        _ => Ok(Answers::of(std::slice::from_ref(response))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::workload::Kind;

    #[test]
    fn the_headers_say_lane_tenant_and_deadline() {
        let deadline = Some(Duration::from_millis(100));
        let (lane, tenant) = (Some(Lane::Enforcement), "acme".parse().ok());
        let call = Call { rpc: Rpc::Batch, batch: 3, deadline, lane, tenant };
        let Prepared::Batch(batch) = call.prepare(&Workload::tiny()) else { panic!("no batch") };
        let header = |name| batch.metadata().get(name).unwrap().to_str().unwrap();
        assert_eq!((header("rhumb-lane"), header("rhumb-tenant")), ("enforcement", "acme"));
        assert!(header("grpc-timeout").starts_with("100"));
        assert_eq!(batch.get_ref().requests.len(), 3);
    }

    #[test]
    fn headers_that_were_not_asked_for_are_not_sent() {
        let call = Call { rpc: Rpc::Score, batch: 1, deadline: None, lane: None, tenant: None };
        let workload = Workload::new(Kind::Repeated, vec![ScoreRequest::default()], 1);
        let Prepared::Score(request) = call.prepare(&workload) else { panic!("no single call") };
        assert!(request.metadata().is_empty());
    }

    #[test]
    fn a_refusal_in_a_stream_is_a_refusal() {
        let failed = |reason: &str| ScoreResponse {
            status: Scored::Failed.into(),
            reason_code: reason.to_owned(),
            ..ScoreResponse::default()
        };
        assert_eq!(single(&failed("scorer_overloaded")), Err(Code::ResourceExhausted));
        assert_eq!(single(&failed("scorer_unavailable")), Err(Code::Unavailable));
        let scored = ScoreResponse { drift: Some(0.0), ..ScoreResponse::default() };
        assert_eq!(single(&scored).unwrap().scored, 1);
    }
}
