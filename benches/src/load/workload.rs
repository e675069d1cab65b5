//! What is sent.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use clap::ValueEnum;
use rhumb_proto::v1::{Action, Intent, ScoreRequest};
use serde::Serialize;

use super::error::LoadError;

/// Eight short actions and eight requests of humans, for runs without a file.
const BUILT_IN: &str = include_str!("actions.jsonl");

/// What the server's caches may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Few intents, each action new: an agent at work.
    CachedIntent,
    /// The same requests again and again.
    Repeated,
    /// Each intent, action and context new.
    Distinct,
}

/// An endless supply of requests, shared by all that send.
#[derive(Debug)]
pub struct Workload {
    kind: Kind,
    requests: Vec<ScoreRequest>,
    next: AtomicU64,
    /// Numbers from here on mark the new texts: no two runs against one server may share any.
    first: u64,
}

impl Workload {
    /// `intents` is for [`Kind::CachedIntent`]: so many of the requests' intents are used for all actions.
    pub fn new(kind: Kind, mut requests: Vec<ScoreRequest>, intents: usize) -> Self {
        requests.iter_mut().for_each(strip_labels);
        if kind == Kind::CachedIntent {
            share_intents(&mut requests, intents);
        }
        Self { kind, requests, next: AtomicU64::new(0), first: run_number() }
    }

    /// Requests of the smallest size, for the number of texts rather than their length.
    pub fn tiny() -> Self {
        let intent = Intent { text: "Pay the bill.".to_owned(), ..Intent::default() };
        let action = Action { tool: "pay".to_owned(), ..Action::default() };
        let request = ScoreRequest { intent: Some(intent), action: Some(action), ..ScoreRequest::default() };
        Self::new(Kind::CachedIntent, vec![request], 1)
    }

    /// The next request.
    pub fn next(&self) -> ScoreRequest {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let index = usize::try_from(n).unwrap_or(0) % self.requests.len().max(1);
        let mut request = self.requests.get(index).cloned().unwrap_or_default();
        request.request_id = n.to_string();
        let mark = (self.first + n).to_string();
        match self.kind {
            Kind::Repeated => {}
            Kind::CachedIntent => mark_action(&mut request, &mark),
            Kind::Distinct => {
                mark_action(&mut request, &mark);
                mark_rest(&mut request, &mark);
            }
        }
        request
    }
}

/// Milliseconds since 1970, cut to eight digits: about a day without a repetition, and few tokens.
fn run_number() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(0) % 100_000_000
}

/// Not part of what is scored; only bytes on the wire.
fn strip_labels(request: &mut ScoreRequest) {
    (request.label, request.family, request.kind) = Default::default();
}

fn share_intents(requests: &mut [ScoreRequest], count: usize) {
    let mut intents: Vec<Intent> = Vec::new();
    for intent in requests.iter().filter_map(|r| r.intent.clone()) {
        if intents.len() < count && !intents.contains(&intent) {
            intents.push(intent);
        }
    }
    for (request, intent) in requests.iter_mut().zip(intents.iter().cycle()) {
        request.intent = Some(intent.clone());
    }
}

/// Makes an action that no cache knows, about four tokens longer.
fn mark_action(request: &mut ScoreRequest, mark: &str) {
    let action = request.action.get_or_insert_default();
    // JSON text is not ours to edit.
    if action.arguments_json.is_empty() {
        let fields = &mut action.arguments.get_or_insert_default().fields;
        fields.insert("reference".to_owned(), mark.to_owned().into());
    } else {
        action.text = format!("{} {mark}", action.text);
    }
}

fn mark_rest(request: &mut ScoreRequest, mark: &str) {
    let texts = request.context.iter_mut().map(|c| &mut c.text);
    for text in request.intent.iter_mut().map(|i| &mut i.text).chain(texts) {
        text.push(' ');
        text.push_str(mark);
    }
}

/// Reads requests: JSON lines, `.gz` or plain; the built-in ones without a file. Of many, `most` evenly spread.
///
/// # Errors
/// Names the file and the line.
pub fn read(path: Option<&Path>, most: Option<usize>, context: bool) -> Result<Vec<ScoreRequest>, LoadError> {
    let name = path.map_or_else(|| "built in".to_owned(), |p| p.display().to_string());
    let fail = |reason: String| LoadError::Texts { path: name.clone(), reason };
    let lines = lines(path).map_err(|e| fail(e.to_string()))?;
    let mut requests = parse(&spread(lines, most)).map_err(&fail)?;
    if requests.is_empty() {
        return Err(fail("holds no request".to_owned()));
    }
    if !context {
        requests.iter_mut().for_each(|r| r.context.clear());
    }
    Ok(requests)
}

fn lines(path: Option<&Path>) -> std::io::Result<Vec<(usize, String)>> {
    let open = |p: &Path| -> std::io::Result<Box<dyn Read>> {
        let file = File::open(p)?;
        let packed = p.extension().is_some_and(|e| e == "gz");
        Ok(if packed { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) })
    };
    let reader = path.map_or_else(|| Ok(Box::new(BUILT_IN.as_bytes()) as Box<dyn Read>), open)?;
    let numbered = BufReader::new(reader).lines().enumerate().map(|(i, l)| l.map(|l| (i + 1, l)));
    numbered.filter(|l| l.as_ref().map_or(true, |(_, l)| !l.trim().is_empty())).collect()
}

/// Files are sorted by where the lines come from, so the first lines alone would be all of one kind.
fn spread<T>(all: Vec<T>, most: Option<usize>) -> Vec<T> {
    let len = all.len();
    let most = most.unwrap_or(len).min(len);
    let wanted = |i: usize| i * most / len.max(1) != (i + 1) * most / len.max(1);
    all.into_iter().enumerate().filter(|(i, _)| wanted(*i)).map(|(_, x)| x).collect()
}

fn parse(lines: &[(usize, String)]) -> Result<Vec<ScoreRequest>, String> {
    let one = |(number, line): &(usize, String)| {
        rhumb_proto::json::parse::<ScoreRequest>(line).map_err(|e| format!("line {number}: {e}"))
    };
    lines.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn some(kind: Kind, intents: usize) -> Vec<ScoreRequest> {
        let workload = Workload::new(kind, read(None, None, true).unwrap(), intents);
        (0..100).map(|_| workload.next()).collect()
    }

    fn different<T: std::hash::Hash + Eq>(requests: &[ScoreRequest], of: fn(&ScoreRequest) -> T) -> usize {
        requests.iter().map(of).collect::<HashSet<_>>().len()
    }

    fn action(request: &ScoreRequest) -> String {
        format!("{:?}", request.action)
    }

    fn intent(request: &ScoreRequest) -> String {
        request.intent.clone().unwrap_or_default().text
    }

    #[test]
    fn cached_intents_come_with_new_actions() {
        let requests = some(Kind::CachedIntent, 2);
        assert_eq!((different(&requests, intent), different(&requests, action)), (2, 100));
    }

    #[test]
    fn repeated_requests_differ_in_their_id_alone() {
        let requests = some(Kind::Repeated, 1);
        assert_eq!((different(&requests, intent), different(&requests, action)), (8, 8));
        assert_eq!(different(&requests, |r| r.request_id.clone()), 100);
    }

    #[test]
    fn distinct_requests_share_no_text() {
        let requests = some(Kind::Distinct, 1);
        assert_eq!((different(&requests, intent), different(&requests, action)), (100, 100));
    }

    #[test]
    fn tiny_requests_are_new_and_small() {
        let workload = Workload::tiny();
        let (a, b) = (workload.next(), workload.next());
        assert!(a.action != b.action && a.intent == b.intent);
    }

    #[test]
    fn a_selection_is_spread_over_the_file() {
        assert_eq!(spread((0..10).collect(), Some(3)), [3, 6, 9]);
        assert_eq!(spread((0..4).collect(), None), [0, 1, 2, 3]);
        assert_eq!(spread(vec![1, 2], Some(9)), [1, 2]);
    }

    #[test]
    fn arguments_as_text_stay_as_they_are() {
        let action = Action { arguments_json: "{}".to_owned(), ..Action::default() };
        let mut request = ScoreRequest { action: Some(action), ..ScoreRequest::default() };
        mark_action(&mut request, "7");
        let action = request.action.unwrap();
        assert_eq!((action.arguments_json.as_str(), action.text.as_str()), ("{}", " 7"));
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = parse(&[(4, "{\"intent\": 3}".to_owned())]).unwrap_err();
        assert!(error.starts_with("line 4: intent"), "{error}");
    }
}
