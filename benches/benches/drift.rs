//! Features and head of one action, vectors at hand: the part of a score that is not the encoder.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rhumb_drift::features::Measured;
use rhumb_drift::{
    Action, Calibration, IntentIndex, IntentText, Prepared, SourceIndex, TextVectors, Window, score,
};

const WIDTH: usize = 384;
const BUDGET: usize = 32 * 1024;
const CALIBRATION: &str = include_str!("../../models/bundles/minilm.calibration.json");
const INTENT: &str = "Please book a room at Hotel Alma in Lisbon for two people from March 3rd to March 6th 2027, at \
                      most 600 euros, and mail the confirmation to jana.novak@corp.example.";

/// One token for every four bytes, as WordPiece makes of English; all vectors differ.
fn vectors(text: &str) -> TextVectors {
    let offsets: Vec<_> = (0..text.len() / 4).map(|i| i * 4..i * 4 + 4).collect();
    let value = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0;
    let tokens = (0..offsets.len() * WIDTH).map(value).collect();
    TextVectors::new(WIDTH, vec![Window { pooled: (0..WIDTH).map(value).collect(), tokens, offsets }])
}

fn action() -> Action {
    let arguments = serde_json::json!({
        "recipient": "jana.novak@corp.example", "subject": "Confirmation: Hotel Alma, Lisbon",
        "body": "Your room at Hotel Alma in Lisbon is booked for two people from March 3rd to March 6th 2027."
    });
    Action {
        tool: "send_email".into(),
        tool_description: "Sends an e-mail to a recipient.".into(),
        arguments: arguments.as_object().cloned().unwrap_or_default(),
        ..Action::default()
    }
}

fn benches(c: &mut Criterion) {
    let action = action();
    let none = SourceIndex::default();
    let calibration = Calibration::parse(CALIBRATION).unwrap_or_else(|_| Calibration::neutral("sha256:0"));
    let bank = &calibration.bank;
    let intent = IntentIndex::new(IntentText::of(INTENT), vectors(INTENT), false, bank);
    let prepared = Prepared::of(&action, &intent.text, BUDGET);
    let of_action = vectors(&prepared.main.text);
    let measured = Measured {
        prepared: &prepared,
        vectors: &of_action,
        intent: &intent,
        bank,
        trusted: &none,
        untrusted: &none,
    };
    c.bench_function("score, vectors at hand", |b| {
        b.iter(|| score(&calibration, black_box(measured), None, false));
    });
    c.bench_function("clean, strip and render", |b| {
        b.iter(|| Prepared::of(black_box(&action), &intent.text, BUDGET));
    });
    c.bench_function("read the request", |b| b.iter(|| IntentText::of(black_box(INTENT))));
}

criterion_group!(all, benches);
criterion_main!(all);
