//! A whole chain at once: every hop against the origin and against what it was told, and where the course was left.

use futures::stream::{self, StreamExt as _};
use rhumb_drift::chain::{ChainHop, ChainState};
use rhumb_drift::{Action, ChainTracker, Effect, InputError, Intent};
use rhumb_engine::{Answer, Call, Engine, EngineError, ScoreInput};
use rhumb_proto::v1::{self, Hop, HopScore, ScoreChainRequest, ScoreChainResponse};

use crate::convert;

/// Requests of one call that are worked on at once.
const CONCURRENCY: usize = 64;

/// A hop before it is scored.
struct Asked {
    number: u32,
    agent: String,
    delegator: String,
    enforcement_point: String,
    request_id: String,
    instruction: String,
    input: ScoreInput,
}

/// A hop and all its scores.
struct Measured {
    asked: Asked,
    effect: Effect,
    answer: Answer,
    step_drift: Option<f64>,
    instruction_drift: Option<(f64, f64)>,
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
    let hops = request.hops.into_iter().zip(1..).map(|(hop, number)| asked(number, hop, &intent));
    let hops: Vec<Asked> = hops.collect::<Result<_, _>>()?;
    let measured = stream::iter(hops.into_iter().map(|hop| measure(engine, hop, call)));
    let measured: Vec<_> = measured.buffered(CONCURRENCY).collect().await;
    let measured: Vec<Measured> = measured.into_iter().collect::<Result<_, _>>()?;
    Ok(response(engine, request.chain_id, intent.principal, measured))
}

/// Hops are counted from 1, places in the message from 0. What concerns the intent concerns the whole chain.
fn of_hop(hop: u32, e: InputError) -> InputError {
    if e.field.starts_with("intent") {
        return e;
    }
    InputError::new(format!("hops[{}].{}", hop.saturating_sub(1), e.field), e.problem)
}

fn asked(number: u32, hop: Hop, intent: &Intent) -> Result<Asked, InputError> {
    let within = |e: InputError| of_hop(number, e);
    convert::check_request_id(&hop.request_id).map_err(within)?;
    let action = hop.action.ok_or_else(|| within(InputError::new("action", "is missing")))?;
    let input = ScoreInput {
        intent: intent.clone(),
        action: convert::action(action).map_err(within)?,
        context: hop.context.into_iter().map(convert::context).collect(),
    };
    Ok(Asked {
        number,
        agent: hop.agent,
        delegator: hop.delegator,
        enforcement_point: hop.enforcement_point,
        request_id: hop.request_id,
        instruction: hop.instruction,
        input,
    })
}

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

async fn measure(engine: &Engine, asked: Asked, call: &Call) -> Result<Measured, EngineError> {
    let within = |e: EngineError| match e {
        EngineError::Input(e) => EngineError::Input(of_hop(asked.number, e)),
        other => other,
    };
    let effect = asked.input.action.effect;
    let answer = engine.score(asked.input.clone(), call).await.map_err(within)?;
    let handed = if answer.drift.is_some() {
        handed_down(engine, &asked.input, &asked.instruction, call).await.map_err(within)?
    } else {
        HandedDown::default()
    };
    let HandedDown { step_drift, instruction_drift } = handed;
    Ok(Measured { asked, effect, answer, step_drift, instruction_drift })
}

fn response(
    engine: &Engine,
    chain_id: String,
    principal: String,
    measured: Vec<Measured>,
) -> ScoreChainResponse {
    let parameters = engine.chain_parameters();
    let mut tracker = ChainTracker::default();
    let hops = measured.into_iter().map(|hop| hop_score(engine, &chain_id, &mut tracker, hop)).collect();
    let summary = tracker.summary(parameters);
    let first = summary.first_drifted;
    let passed = first.and_then(|f| f.passed_by);
    ScoreChainResponse {
        chain_id,
        hops,
        first_drifted_hop: first.map(|f| f.hop),
        first_drifted_agent: first.map(|f| f.agent.to_owned()).unwrap_or_default(),
        first_drifted_delegator: first.map(|f| f.delegator.to_owned()).unwrap_or_default(),
        principal,
        max_drift: summary.max_drift,
        found_by: first.map(|f| f.found_by.as_str().to_owned()).unwrap_or_default(),
        passed_by: passed.map(|(point, _)| point.to_owned()).unwrap_or_default(),
        passed_at_hop: passed.map(|(_, hop)| hop),
        cumulative_drift: summary.cumulative_drift,
        cumulative_threshold: summary.cumulative_threshold,
    }
}

fn hop_score(engine: &Engine, chain_id: &str, tracker: &mut ChainTracker, hop: Measured) -> HopScore {
    let Measured { asked, effect, mut answer, step_drift, instruction_drift } = hop;
    let state = tracker.insert(
        engine.chain_parameters(),
        ChainHop {
            hop: asked.number,
            // Each hop of one call is an action of its own, whatever its id.
            request_id: "",
            agent: &asked.agent,
            delegator: &asked.delegator,
            enforcement_point: &asked.enforcement_point,
            effect,
            status: answer.status,
            verdict: answer.decision.verdict,
            drift: answer.drift,
            threshold: answer.threshold,
            step_drift,
            instruction_drift,
        },
    );
    if state.raised {
        answer.decision = engine.policy().in_drifted_chain(answer.decision, effect);
        tracker.told(&state, answer.decision.verdict);
    }
    let handed = HandedDown { step_drift, instruction_drift };
    let chain = chain_state(chain_id, &state, handed);
    let score =
        v1::ScoreResponse { chain: Some(chain), ..convert::response(asked.request_id, answer, engine) };
    HopScore { hop: asked.number, agent: asked.agent, delegator: asked.delegator, score: Some(score) }
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
    }
}
