//! One HTTP request that an enforcement point holds back: taken apart, each action decided, put together again.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rhumb_drift::Verdict;
use rhumb_engine::EngineError;
use rhumb_proto::v1;

use crate::caller::Caller;
use crate::carried::Carried;
use crate::convert::{self, Unread};
use crate::decide::Decider;
use crate::errors::GatewayError;
use crate::message::{self, Asked, Broken, HttpMessage, Item, Kind, Reading, RpcId, What};
use crate::policy::Mode;

/// When there may be room for bodies again.
const FULL_RETRY: Duration = Duration::from_millis(20);

/// One HTTP request, and what the enforcement point says of it.
#[derive(Debug, Clone)]
pub struct Asking<'a> {
    /// The request.
    pub message: HttpMessage<'a>,
    /// What the operator says that it is.
    pub kind: Kind,
    /// The operator's name of the tool server, in place of the host.
    pub server: Option<String>,
    /// A name that rules of the policy may ask for.
    pub policy_id: String,
    /// Comes before the mode of the policy.
    pub mode: Option<Mode>,
    /// The least provenance; it can only raise what the policy demands.
    pub min_provenance: v1::Provenance,
    /// Who asks, in the deployment's own words.
    pub enforcement_point: String,
    /// The enforcement point's id of the request; that of each item of a batch is made from it.
    pub request_id: String,
    /// Where in a chain it stands, as far as the enforcement point knows.
    pub chain: Option<v1::ChainPosition>,
    /// What the enforcement point knows besides the message.
    pub carried: Carried,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// What it was; never [`Kind::Auto`].
    pub kind: Kind,
    /// Whether the answer of a refusal is an array.
    pub is_batch: bool,
    /// In the order of the request; at least one.
    pub items: Vec<(RpcId, ItemAnswer)>,
    /// HTTP status of a refusal.
    pub deny_http_status: u16,
}

/// What became of one call.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemAnswer {
    /// It passes without a score; the kind of pass, for counters.
    Passed(&'static str),
    /// The policy decided.
    Decided(Box<v1::ScoreResponse>),
}

impl Answered {
    /// The answer for which the whole request is stopped: of those that stop, the gravest, the first of equals. `None`:
    /// it passes.
    pub fn stopped(&self) -> Option<&v1::ScoreResponse> {
        let stops = self.decided().filter(|answer| answer.outcome() == v1::Outcome::Stop);
        stops.reduce(|worst, answer| if gravity(answer) > gravity(worst) { answer } else { worst })
    }

    /// The answer to tell where the request passes: of those decided, the gravest, the first of equals.
    pub fn told(&self) -> Option<&v1::ScoreResponse> {
        self.decided().reduce(|worst, answer| if gravity(answer) > gravity(worst) { answer } else { worst })
    }

    /// All that were decided.
    pub fn decided(&self) -> impl Iterator<Item = &v1::ScoreResponse> {
        self.items.iter().filter_map(|(_, answer)| match answer {
            ItemAnswer::Decided(response) => Some(&**response),
            ItemAnswer::Passed(_) => None,
        })
    }
}

/// How grave a verdict is; with equal verdicts the larger drift.
fn gravity(answer: &v1::ScoreResponse) -> (u8, f64) {
    let verdict = match answer.verdict() {
        v1::Verdict::Allow => 0,
        v1::Verdict::Warn => 1,
        v1::Verdict::Abstain | v1::Verdict::Unspecified => 2,
        v1::Verdict::Escalate => 3,
        v1::Verdict::Deny => 4,
    };
    (verdict, answer.drift.unwrap_or_default())
}

/// Decides about a request. All its actions have the same deadline; each is recorded by itself.
///
/// # Errors
/// An action has no score, the policy leaves it to the enforcement point, and no other action is stopped.
pub async fn ask(
    decider: &Decider,
    asking: Asking<'_>,
    caller: &Caller,
    deadline: Instant,
) -> Result<Answered, GatewayError> {
    let kilobytes = u32::try_from(asking.message.body.len() / 1024 + 1).unwrap_or(u32::MAX);
    let full = |_| EngineError::Overloaded { retry_after: FULL_RETRY };
    // Until all is answered: bodies are held back before the engine knows of them.
    let _room = decider.site().bodies.try_acquire_many(kilobytes).map_err(full)?;
    let policies = decider.site().policy.now();
    let Reading { kind, is_batch, items, carried, dropped } =
        message::read(&asking.message, asking.kind, policies.reading());
    let caller = with(caller, asking.carried.clone().and(carried.into()));
    let many = items.len() > 1;
    let asked = Template { asking: &asking, dropped: &dropped };
    let answers = items.into_iter().enumerate().map(|(i, item)| {
        let request = asked.request(many.then_some(i), &item);
        answer(decider, item, request, &caller, deadline)
    });
    let answers = join_all(answers).await;
    let deny_http_status = policies.deny_http_status();
    together(answers, Answered { kind, is_batch, items: Vec::new(), deny_http_status })
}

fn with(caller: &Caller, carried: Carried) -> Caller {
    Caller { carried: caller.carried.clone().and(carried), ..caller.clone() }
}

/// One that has no score costs the whole request, unless another one is stopped anyway.
fn together(
    answers: Vec<Result<(RpcId, ItemAnswer), (RpcId, GatewayError)>>,
    mut answered: Answered,
) -> Result<Answered, GatewayError> {
    let mut missing = None;
    for answer in answers {
        match answer {
            Ok(item) => answered.items.push(item),
            Err((id, error)) => {
                let reason = crate::errors::reason(&error);
                let mut failed = convert::failed_remotely(String::new());
                failed.reason_code = reason.to_owned();
                answered.items.push((id, ItemAnswer::Decided(Box::new(failed))));
                missing.get_or_insert(error);
            }
        }
    }
    match missing {
        Some(error) if answered.stopped().is_none() => Err(error),
        _ => Ok(answered),
    }
}

async fn answer(
    decider: &Decider,
    item: Item,
    request: v1::ScoreRequest,
    caller: &Caller,
    deadline: Instant,
) -> Result<(RpcId, ItemAnswer), (RpcId, GatewayError)> {
    let Item { id, what, carried } = item;
    let mut caller = with(caller, carried.into());
    let decided = match what {
        What::Pass(passed) => return Ok((id, ItemAnswer::Passed(passed.name()))),
        What::Action(asked) => {
            caller.sees_whole = asked.partial.is_none();
            decider.hold(request, &caller, &caller.one(deadline)).await
        }
        What::Refuse(reason, detail) => {
            let why = Unread { verdict: Some(Verdict::Deny), reason, ..Unread::unparsable(detail) };
            decider.refuse_unread(request, &why, &caller).await
        }
        What::Broken(broken) => decider.refuse_unread(request, &unread(broken), &caller).await,
    };
    match decided {
        Ok(response) => Ok((id, ItemAnswer::Decided(Box::new(response)))),
        Err(error) => Err((id, error)),
    }
}

fn unread(broken: Broken) -> Unread {
    let Broken { status, reason, detail } = broken;
    let status = match status {
        rhumb_drift::Status::Truncated => v1::Status::Truncated,
        _ => v1::Status::Unparsable,
    };
    Unread { status, reason, detail, verdict: None }
}

/// What all requests of a message have in common.
struct Template<'a> {
    asking: &'a Asking<'a>,
    dropped: &'a [String],
}

impl Template<'_> {
    fn request(&self, item: Option<usize>, what: &Item) -> v1::ScoreRequest {
        let asking = self.asking;
        let id = &asking.request_id;
        let mode = asking.mode.map_or(v1::Mode::Unspecified, Mode::message);
        v1::ScoreRequest {
            request_id: item.map_or_else(|| id.clone(), |i| format!("{id}#{i}")),
            action: Some(self.action(what)),
            chain: asking.chain.clone(),
            enforcement_point: asking.enforcement_point.clone(),
            policy_id: asking.policy_id.clone(),
            mode: mode.into(),
            min_provenance: asking.min_provenance.into(),
            dropped: self.dropped.to_vec(),
            ..v1::ScoreRequest::default()
        }
    }

    /// Where there is no action the server alone is known, and rules may ask for it.
    fn action(&self, item: &Item) -> v1::Action {
        let server = self.asking.server.clone();
        let host = || message::server(self.asking.message.host);
        let What::Action(asked) = &item.what else {
            return v1::Action { server: server.unwrap_or_else(host), ..v1::Action::default() };
        };
        let Asked { tool, tool_description, arguments, text, effect, .. } = &**asked;
        v1::Action {
            server: server.unwrap_or_else(|| asked.server.clone()),
            tool: tool.clone(),
            tool_description: tool_description.clone(),
            // As text: an argument may hold more digits than a number of a message.
            arguments_json: serde_json::to_string(arguments).unwrap_or_default(),
            text: text.clone(),
            effect: convert::effect_message(*effect).into(),
            ..v1::Action::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(verdict: v1::Verdict, outcome: v1::Outcome, drift: f64) -> (RpcId, ItemAnswer) {
        let response = v1::ScoreResponse {
            verdict: verdict.into(),
            outcome: outcome.into(),
            drift: Some(drift),
            ..v1::ScoreResponse::default()
        };
        (RpcId::Absent, ItemAnswer::Decided(Box::new(response)))
    }

    fn batch(items: Vec<(RpcId, ItemAnswer)>) -> Answered {
        Answered { kind: Kind::Mcp, is_batch: true, items, deny_http_status: 403 }
    }

    #[test]
    fn one_call_that_stops_stops_the_batch_and_the_gravest_is_told() {
        use v1::Outcome::{Pass, Stop};
        use v1::Verdict::{Allow, Deny, Escalate, Warn};
        let mixed = batch(vec![
            decided(Allow, Pass, 0.1),
            (RpcId::Absent, ItemAnswer::Passed("mcp_method")),
            decided(Escalate, Stop, 0.6),
            decided(Deny, Stop, 0.97),
            decided(Deny, Stop, 0.99),
        ]);
        assert_eq!(mixed.stopped().and_then(|answer| answer.drift), Some(0.99));
        let passing = batch(vec![decided(Allow, Pass, 0.2), decided(Warn, Pass, 0.6)]);
        assert_eq!(passing.stopped(), None);
        assert_eq!(passing.told().and_then(|answer| answer.drift), Some(0.6));
    }

    #[test]
    fn what_has_no_score_costs_the_request_unless_it_is_stopped_anyway() {
        let late = || Err((RpcId::Absent, GatewayError::Engine(EngineError::Deadline)));
        let passes = || Ok(decided(v1::Verdict::Allow, v1::Outcome::Pass, 0.1));
        let stops = || Ok(decided(v1::Verdict::Deny, v1::Outcome::Stop, 0.99));
        assert!(together(vec![passes(), late()], batch(Vec::new())).is_err());
        let stopped = together(vec![late(), stops()], batch(Vec::new())).unwrap();
        assert_eq!((stopped.items.len(), stopped.stopped().is_some()), (2, true));
    }
}
