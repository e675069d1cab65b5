//! What was handed down with a delegation, against the action and against the origin.

use rhumb_drift::chain::ChainState;
use rhumb_drift::{Action, InputError, Intent};
use rhumb_engine::{Call, Engine, EngineError, ScoreInput};
use rhumb_proto::v1;

/// Drift of an action from the instruction that its agent was given, and of that instruction from the request with its
/// threshold. Absent without an instruction, or without a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct HandedDown {
    /// Of the action from the instruction.
    pub step_drift: Option<f64>,
    /// Of the instruction from the request, and its threshold.
    pub instruction_drift: Option<(f64, f64)>,
}

/// Measures what was handed down with a delegation.
///
/// # Errors
/// As the engine; a field of the instruction is named `instruction`.
pub async fn handed_down(
    engine: &Engine,
    input: &ScoreInput,
    instruction: &str,
    call: &Call,
) -> Result<HandedDown, EngineError> {
    if instruction.trim().is_empty() {
        return Ok(HandedDown::default());
    }
    let told = Intent { text: instruction.to_owned(), principal: String::new() };
    let step = ScoreInput { intent: told, ..input.clone() };
    let action = Action { text: instruction.to_owned(), effect: input.action.effect, ..Action::default() };
    let handed = ScoreInput { intent: input.intent.clone(), action, context: Vec::new() };
    let named = |e: EngineError| match e {
        EngineError::Input(e) => EngineError::Input(InputError::new("instruction", e.problem)),
        other => other,
    };
    let (step, handed) = futures::join!(engine.score(step, call), engine.score(handed, call));
    let (step, handed) = (step.map_err(named)?, handed.map_err(named)?);
    Ok(HandedDown { step_drift: step.drift, instruction_drift: handed.drift.map(|d| (d, handed.threshold)) })
}

/// What is known of a chain as a message.
pub fn chain_state(chain_id: &str, state: &ChainState, handed: HandedDown) -> v1::ChainState {
    v1::ChainState {
        chain_id: chain_id.to_owned(),
        hop: state.hop,
        step_drift: handed.step_drift,
        instruction_drift: handed.instruction_drift.map(|(drift, _)| drift),
        cumulative_drift: state.cumulative_drift,
        cumulative_threshold: state.cumulative_threshold,
        first_drifted_hop: state.first_drifted_hop,
        found_by: state.found_by.map(|f| f.as_str().to_owned()).unwrap_or_default(),
        actions: state.actions,
        apart: false,
    }
}
