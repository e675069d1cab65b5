//! `rhumb score` over pipes.

use serde_json::Value;

use crate::program::run;

/// What `rhumb score` answered.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Exit code.
    pub code: i32,
    /// The answers as text, one for each line that is not blank.
    pub lines: Vec<String>,
    /// The same, read.
    pub answers: Vec<Value>,
    /// Standard error.
    pub stderr: String,
}

impl Answers {
    /// The answer with this request id; there must be exactly one.
    pub fn of(&self, id: &str) -> &Value {
        let mut found = self.answers.iter().filter(|a| a["requestId"] == id);
        let first = found.next().unwrap_or_else(|| panic!("no answer to {id}: {}", self.stderr));
        assert!(found.next().is_none(), "two answers to {id}");
        first
    }

    /// Status of each answer, in order.
    pub fn statuses(&self) -> Vec<&str> {
        self.answers.iter().map(|a| a["status"].as_str().unwrap_or("none")).collect()
    }
}

/// Runs `rhumb score` with `input` on standard input.
pub fn score_lines(input: &[u8], args: &[&str]) -> Answers {
    let run = run(["score"].iter().chain(args), input);
    read_answers(&run.stdout, run.code, run.stderr)
}

/// Reads the answers from wherever they went.
pub fn read_answers(bytes: &[u8], code: i32, stderr: String) -> Answers {
    let text = std::str::from_utf8(bytes).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let answers = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    Answers { code, lines, answers, stderr }
}

/// A figure exactly as it was written: two figures with the same text are the same to the last bit.
pub fn figure<'a>(line: &'a str, key: &str) -> &'a str {
    let start = line.find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("no {key} in {line}"));
    let value = &line[start + key.len() + 3..];
    &value[..value.find([',', '}']).unwrap()]
}

/// Drift and similarity exactly as they were written.
pub fn figures(line: &str) -> (&str, &str) {
    (figure(line, "drift"), figure(line, "similarity"))
}

/// Whether the answer has a drift in [0, 1], as a number.
pub fn has_drift(answer: &Value) -> bool {
    answer["drift"].as_f64().is_some_and(|drift| (0.0..=1.0).contains(&drift))
}

/// Requests as JSON lines.
pub fn lines<'a>(requests: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    requests.into_iter().flat_map(|request| format!("{request}\n").into_bytes()).collect()
}
