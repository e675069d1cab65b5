//! How drift and verdicts look in a terminal: the same in every command.

use anstyle::{AnsiColor, Style};
use rhumb_proto::v1::{Evidence, Origin, ScoreResponse, ValueEvidence, Verdict};

use super::text::clip;

/// Characters of the drift bar.
pub const BAR: usize = 10;
/// Characters of a value that are shown.
const SHOWN: usize = 44;

/// The colour of a verdict; its name always stands beside it.
pub fn colour(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::Allow => AnsiColor::Green,
        Verdict::Warn => AnsiColor::Yellow,
        Verdict::Escalate => AnsiColor::Magenta,
        Verdict::Deny => AnsiColor::Red,
        Verdict::Abstain | Verdict::Unspecified => AnsiColor::Blue,
    };
    colour.on_default()
}

/// A bar and its number, `BAR + 5` columns.
pub fn bar(drift: Option<f64>) -> String {
    let Some(drift) = drift else { return "no score".to_owned() };
    let full = (drift.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("{}{} {drift:.2}", "█".repeat(full), "·".repeat(BAR.saturating_sub(full)))
}

/// Why an action was not simply allowed; empty for one that was.
pub fn reason(score: &ScoreResponse) -> String {
    match (score.verdict(), &score.evidence) {
        (Verdict::Allow, _) | (_, None) => String::new(),
        (_, Some(evidence)) => telling(evidence),
    }
}

/// The value that came from nowhere, else the part of the action with the least counterpart in the request.
pub fn telling(evidence: &Evidence) -> String {
    let unseen = |v: &&ValueEvidence| matches!(v.origin(), Origin::New | Origin::UntrustedContext);
    if let Some(value) = evidence.values.iter().find(unseen) {
        let origin = match value.origin() {
            Origin::UntrustedContext => "only in untrusted text",
            _ => "seen nowhere",
        };
        let name = value.path.trim_start_matches("arguments.");
        return format!("{name} = {} ({origin})", clip(&value.value, SHOWN));
    }
    if evidence.weakest_segment.is_empty() {
        return String::new();
    }
    format!("{} has little counterpart in the request", evidence.weakest_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_one_width() {
        for drift in [0.0, 0.04, 0.5, 1.0] {
            assert_eq!(bar(Some(drift)).chars().count(), BAR + 5);
        }
    }

    #[test]
    fn what_was_allowed_needs_no_reason() {
        let evidence = Evidence { weakest_segment: "tool".into(), ..Evidence::default() };
        let mut score = ScoreResponse { evidence: Some(evidence), ..ScoreResponse::default() };
        score.set_verdict(Verdict::Allow);
        assert_eq!(reason(&score), "");
        score.set_verdict(Verdict::Deny);
        assert_eq!(reason(&score), "tool has little counterpart in the request");
    }
}
