//! Scoring through a server.

use std::time::Duration;

use rhumb_proto::v1::drift_service_client::DriftServiceClient;
use rhumb_proto::v1::{ScoreRequest, ScoreResponse};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use crate::convert;
use crate::failure::Failure;

/// Where `rhumb serve` listens unless told otherwise.
pub const LOCAL: &str = "http://127.0.0.1:50051";
/// How often a refused request is tried again before the whole run gives up.
const TRIES: u32 = 100;
/// The hint says when one request would fit, and others wait for the same: every further try waits this much longer.
const PATIENCE: Duration = Duration::from_millis(5);

/// A connection to a server.
#[derive(Clone)]
pub struct Client(DriftServiceClient<Channel>);

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// A URL that is none, or a server that does not answer.
    pub async fn connect(url: &str) -> Result<Self, Failure> {
        Ok(Self(DriftServiceClient::new(connect(url).await?).max_encoding_message_size(usize::MAX)))
    }

    /// Scores one request. A request that the server cannot use is answered as such; a server that is busy is asked again.
    ///
    /// # Errors
    /// A server that is gone, or busy for too long.
    pub async fn score(&self, request: ScoreRequest) -> Result<ScoreResponse, Failure> {
        for tried in 1..=TRIES {
            let status = match self.0.clone().score(bulk(request.clone())).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            match status.code() {
                Code::InvalidArgument | Code::OutOfRange => {
                    return Ok(convert::unparsable(request.request_id, status.message().to_owned(), None));
                }
                Code::ResourceExhausted => {
                    let wait = status.get_details_retry_info().and_then(|r| r.retry_delay);
                    tokio::time::sleep(wait.unwrap_or_default() + PATIENCE * tried).await;
                }
                Code::DeadlineExceeded | Code::Internal => {
                    return Ok(convert::failed_remotely(request.request_id));
                }
                code => return Err(Failure::check(format!("server: {code}: {}", status.message()))),
            }
        }
        Err(Failure::check("server: busy for too long"))
    }
}

/// A channel to a server.
///
/// # Errors
/// A URL that is none, or a server that does not answer.
pub async fn connect(url: &str) -> Result<Channel, Failure> {
    let fail = |e: tonic::transport::Error| {
        use std::error::Error as _;
        Failure::input(format!("--server {url}: {}", e.source().map_or(e.to_string(), ToString::to_string)))
    };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(fail)?;
    endpoint.connect_timeout(Duration::from_secs(5)).connect().await.map_err(fail)
}

/// Files do not hold up those who hold an action back.
fn bulk(request: ScoreRequest) -> tonic::Request<ScoreRequest> {
    let mut request = tonic::Request::new(request);
    request.metadata_mut().insert("rhumb-lane", tonic::metadata::MetadataValue::from_static("bulk"));
    request
}
