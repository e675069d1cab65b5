//! The limits of one evaluation. Supervisors keep to them; what does not is refused with the name of the field.

use prost::Message;
use rhumb_drift::InputError;
use rhumb_proto::openshell::middleware::{HttpRequestEvaluation, SupervisorMiddlewarePhase};

/// Bytes of the largest message that a supervisor sends: a body and what goes with it.
pub const MESSAGE_BYTES: usize = BODY + 299_072;
/// Bytes of a body.
pub(super) const BODY: usize = 4 * 1024 * 1024;
const CONTEXT: usize = 4 * 1024;
const CONFIG: usize = 64 * 1024;
const TARGET: usize = 32 * 1024;
const HEADER_LINES: usize = 128;
const HEADERS: usize = 64 * 1024;

/// Checks phase, presence and sizes.
///
/// # Errors
/// Names the field.
pub(super) fn check(request: &HttpRequestEvaluation) -> Result<(), InputError> {
    if request.phase() != SupervisorMiddlewarePhase::PreCredentials {
        return Err(InputError::new("phase", "is not PRE_CREDENTIALS"));
    }
    let sandbox = request.context.as_ref().map_or("", |context| context.sandbox_id.as_str());
    if sandbox.is_empty() {
        return Err(InputError::new("context.sandbox_id", "is missing"));
    }
    let lines = request.headers.len();
    at_most("headers", lines, HEADER_LINES, "lines")?;
    let encoded = request
        .headers
        .iter()
        .map(|line| prost::length_delimiter_len(line.encoded_len()) + 1 + line.encoded_len());
    at_most("headers", encoded.sum(), HEADERS, "bytes")?;
    at_most("context", size(request.context.as_ref()), CONTEXT, "bytes")?;
    at_most("config", size(request.config.as_ref()), CONFIG, "bytes")?;
    at_most("target", size(request.target.as_ref()), TARGET, "bytes")?;
    at_most("body", request.body.len(), BODY, "bytes")
}

fn size<M: Message>(message: Option<&M>) -> usize {
    message.map_or(0, Message::encoded_len)
}

fn at_most(field: &str, value: usize, most: usize, unit: &str) -> Result<(), InputError> {
    if value <= most {
        return Ok(());
    }
    Err(InputError::new(field, format!("{value} {unit}, at most {most} are taken")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rhumb_proto::openshell::gateway_interceptor::InterceptorEvaluation;
    use rhumb_proto::openshell::gateway_interceptor::interceptor_evaluation::Phase;
    use rhumb_proto::openshell::middleware::RequestContext;

    use crate::openshell::{fields, options::Options};

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in any::<Vec<u8>>(), tag in 0_u8..10) {
            // Bytes that at least begin as a field.
            let field = [&[tag << 3 | 2, u8::try_from(bytes.len() & 0x7f).unwrap_or_default()], bytes.as_slice()].concat();
            for bytes in [bytes, field] {
                if let Ok(request) = HttpRequestEvaluation::decode(bytes.as_slice()) {
                    drop(check(&request));
                    drop(Options::read(request.config.as_ref()));
                }
                if let Ok(InterceptorEvaluation { phase: Some(Phase::Validate(asked)), .. }) =
                    InterceptorEvaluation::decode(bytes.as_slice())
                {
                    let _ = fields::list(asked.proposed_operation.as_ref(), &["proposedChunks"]).len();
                }
            }
        }
    }

    #[test]
    fn the_largest_message_is_that_of_the_contract() {
        assert_eq!(MESSAGE_BYTES, 4_493_376);
    }

    #[test]
    fn a_phase_that_nobody_knows_is_refused_and_breaks_nothing() {
        let context = RequestContext { sandbox_id: "s".into(), ..RequestContext::default() };
        let request =
            |phase| HttpRequestEvaluation { phase, context: Some(context.clone()), ..Default::default() };
        assert_eq!(check(&request(1)), Ok(()));
        for phase in [0, 2, 99, -1] {
            assert_eq!(check(&request(phase)).unwrap_err().field, "phase", "{phase}");
        }
    }
}
