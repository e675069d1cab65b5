//! The caller's deadline, counted from the head of its call.
//!
//! The transport has a timer of its own for `grpc-timeout`, and what it says is CANCELLED. A caller whose deadline passed
//! is to read DEADLINE_EXCEEDED, so this layer, which the transport polls first, keeps the time itself: also while the
//! message is still on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rhumb_drift::InputError;
use rhumb_engine::EngineError;
use rhumb_gateway::front::Deadline;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

use super::errors;

/// Adds [`DeadlineService`].
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService(inner)
    }
}

/// Answers DEADLINE_EXCEEDED when the caller's time is over.
#[derive(Debug, Clone)]
pub struct DeadlineService<S>(S);

type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl<S, Req, Res> Service<Request<Req>> for DeadlineService<S>
where
    S: Service<Request<Req>, Response = Response<Res>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    Res: Default + Send + 'static,
{
    type Response = Response<Res>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Req>) -> Self::Future {
        let deadline = match deadline(request.headers()) {
            Ok(deadline) => deadline,
            Err(error) => return Box::pin(async move { Ok(errors::bad_request(&error).into_http()) }),
        };
        let Some(deadline) = deadline else { return Box::pin(self.0.call(request)) };
        request.extensions_mut().insert(Deadline(deadline));
        let call = self.0.call(request);
        Box::pin(async move {
            match tokio::time::timeout_at(deadline.into(), call).await {
                Ok(response) => response,
                Err(_) => Ok(errors::engine(&EngineError::Deadline).into_http()),
            }
        })
    }
}

fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, InputError> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let wait = value.to_str().ok().and_then(timeout);
    let wait = wait
        .ok_or_else(|| InputError::new("grpc-timeout", "is not a number of at most 8 digits and a unit"))?;
    Ok(Some(Instant::now() + wait))
}

/// The `grpc-timeout` header: at most eight digits and one of `H M S m u n`.
fn timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(n * 3600),
        'M' => Duration::from_secs(n * 60),
        'S' => Duration::from_secs(n),
        'm' => Duration::from_millis(n),
        'u' => Duration::from_micros(n),
        'n' => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("1H"), Some(Duration::from_secs(3600)));
        for bad in ["", "m", "1", "123456789S", "-1S", "1x", "1 S", "é"] {
            assert_eq!(timeout(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_longest_timeout_is_still_a_time() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", "99999999H".parse().unwrap());
        assert!(deadline(&headers).unwrap().is_some());
    }
}
