//! An answer in words: what its evidence says, for a person.

use std::fmt::Write as _;

use rhumb_drift::FEATURES;
use rhumb_proto::v1::{Evidence, FeatureEvidence, Origin, ScoreResponse, Status, ValueEvidence};

/// Values and features that are told; the rest is in the JSON.
const SHOWN: usize = 6;
/// Features that add less than this to the log-odds are not worth a line.
const LEAST: f64 = 0.05;

/// Several lines, the last one empty.
pub fn explain(response: &ScoreResponse) -> String {
    let mut out = headline(response);
    if let Some(evidence) = &response.evidence {
        values(evidence, &mut out);
        words(evidence, &mut out);
        features(evidence, &mut out);
        findings(evidence, &mut out);
    }
    out.push('\n');
    out
}

fn headline(response: &ScoreResponse) -> String {
    let drift = response.drift.map_or("no score".to_owned(), |d| format!("drift {d:.2}"));
    let threshold = match (response.drift, response.threshold) {
        (Some(_), Some(t)) => format!(", alarm from {t:.2}"),
        _ => String::new(),
    };
    let id = if response.request_id.is_empty() { "-" } else { &response.request_id };
    let mut out =
        format!("{id}: {} ({}), {drift}{threshold}", response.verdict().as_str_name(), response.reason_code);
    let status = match response.status() {
        Status::Scored | Status::Unspecified => "",
        Status::Truncated => "; part of it was not seen",
        Status::NoAnchor => "; there is no request to compare with",
        Status::Delegated => "; the request leaves what is to be done to an outside text",
        Status::Unparsable => "; it could not be read",
        Status::Degraded => "; a cheaper path answered",
        Status::Limited => "; a limit of the intent forbids it",
        Status::Failed => "; scoring failed",
    };
    out.push_str(status);
    if !response.detail.is_empty() {
        let _ = write!(out, ": {}", response.detail);
    }
    out.push('\n');
    out
}

fn values(evidence: &Evidence, out: &mut String) {
    for value in evidence.values.iter().take(SHOWN) {
        let _ = writeln!(out, "  {} = {:?}: {}", value.path, value.value, origin(value));
    }
    let more = evidence.values.len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(out, "  and {more} more values");
    }
}

fn origin(value: &ValueEvidence) -> String {
    match value.origin() {
        Origin::Intent => "from the request".to_owned(),
        Origin::TrustedContext => "from trusted context".to_owned(),
        Origin::UntrustedContext => format!("{} only in untrusted context", value.kind),
        Origin::New | Origin::Unspecified if value.grade > 0.0 => {
            format!("{} from nowhere, covered to {:.0} %", value.kind, 100.0 * value.grade)
        }
        Origin::New | Origin::Unspecified => format!("{} from nowhere", value.kind),
    }
}

fn words(evidence: &Evidence, out: &mut String) {
    if !evidence.weakest_segment.is_empty() {
        let similarity = evidence.weakest_segment_similarity.map_or(String::new(), |s| format!(" ({s:.2})"));
        let _ = writeln!(out, "  least counterpart in the request: {}{similarity}", evidence.weakest_segment);
    }
    if !evidence.unmatched_words.is_empty() {
        let _ = writeln!(out, "  words without a counterpart: {}", evidence.unmatched_words.join(", "));
    }
    if evidence.delegating >= 0.5 {
        let _ = writeln!(
            out,
            "  the request may leave what is to be done to an outside text: {:.2}",
            evidence.delegating
        );
    }
}

/// Sorted by weight in the answer.
fn features(evidence: &Evidence, out: &mut String) {
    let told = evidence.features.iter().filter(|f| f.contribution.abs() >= LEAST).take(SHOWN);
    for feature in told {
        let _ = writeln!(out, "  {:+.2} {}", feature.contribution, about(feature));
    }
}

fn about(feature: &FeatureEvidence) -> String {
    let about = FEATURES.iter().find(|f| f.name == feature.name).map_or("", |f| f.about);
    let separator = if about.is_empty() { "" } else { ": " };
    format!("{} {:.2}{separator}{about}", feature.name, feature.value)
}

fn findings(evidence: &Evidence, out: &mut String) {
    for finding in &evidence.findings {
        let (what, place) = finding.split_once(':').unwrap_or((finding, ""));
        let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
        let _ = writeln!(out, "  found: {}{place}", what.replace('_', " "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_proto::v1::Verdict;

    #[test]
    fn an_answer_reads_as_lines() {
        let value = ValueEvidence {
            path: "arguments.to".into(),
            value: "eve@evil.com".into(),
            kind: "email".into(),
            origin: Origin::New.into(),
            grade: 0.0,
        };
        let feature = FeatureEvidence { name: "destinations".into(), value: 1.0, contribution: 1.25 };
        let evidence = Evidence {
            values: vec![value],
            unmatched_words: vec!["evil".into()],
            features: vec![feature],
            findings: vec!["quotation_removed:arguments.note".into()],
            ..Evidence::default()
        };
        let response = ScoreResponse {
            request_id: "7".into(),
            drift: Some(0.934),
            threshold: Some(0.8),
            verdict: Verdict::Escalate.into(),
            status: Status::Scored.into(),
            reason_code: "intent_drift".into(),
            evidence: Some(evidence),
            ..ScoreResponse::default()
        };
        let text = explain(&response);
        for expected in [
            "7: ESCALATE (intent_drift), drift 0.93, alarm from 0.80\n",
            "arguments.to = \"eve@evil.com\": email from nowhere\n",
            "words without a counterpart: evil\n",
            "+1.25 destinations 1.00: ",
            "found: quotation removed in arguments.note\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn what_has_no_score_says_so() {
        let response = ScoreResponse { status: Status::NoAnchor.into(), ..ScoreResponse::default() };
        assert!(explain(&response).contains("no score; there is no request"));
    }
}
