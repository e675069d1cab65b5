//! `rhumb score`: files, packed files, and programs that talk to it line by line.

// Tests may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::mpsc;

use flate2::Compression;
use flate2::write::GzEncoder;
use rhumb_tests::program::{LIMIT, command, home, wait};
use rhumb_tests::run;
use rhumb_tests::samples::{aligned, drifted};
use rhumb_tests::score::{figures, lines, read_answers};
use serde_json::Value;

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn score_file(input: &Path, output: &Path) -> rhumb_tests::Run {
    run(
        ["score".as_ref(), "--input".as_ref(), input.as_os_str(), "--output".as_ref(), output.as_os_str()],
        b"",
    )
}

#[test]
fn files_plain_and_packed_are_scored_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (lines([&aligned("a")]), lines([&drifted("b")]));
    let plain = folder.path().join("in.jsonl");
    std::fs::write(&plain, [first.as_slice(), &second].concat()).unwrap();
    // Two gzip members, as `cat a.gz b.gz` makes them.
    let gz = folder.path().join("in.jsonl.gz");
    std::fs::write(&gz, [packed(&first), packed(&second)].concat()).unwrap();
    let scored = [&plain, &gz].map(|input| {
        let output = folder.path().join("out.jsonl");
        let run = score_file(input, &output);
        assert!(run.code == 0 && run.stdout.is_empty(), "{}", run.stderr);
        read_answers(&std::fs::read(output).unwrap(), run.code, run.stderr)
    });
    for answers in &scored {
        assert_eq!(answers.statuses(), ["SCORED", "SCORED"]);
        assert_eq!(
            (&answers.answers[0]["requestId"], &answers.answers[1]["requestId"]),
            (&"a".into(), &"b".into())
        );
    }
    assert!(scored[0].lines.iter().zip(&scored[1].lines).all(|(plain, gz)| figures(plain) == figures(gz)));
}

#[test]
fn a_bad_line_of_a_file_is_told_with_the_name_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("mine.jsonl");
    std::fs::write(&input, [lines([&aligned("a")]), b"{\"action\":7}\n".to_vec()].concat()).unwrap();
    let run = score_file(&input, &folder.path().join("out.jsonl"));
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("mine.jsonl: line 2: action: "), "{}", run.stderr);
}

#[test]
fn an_input_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = score_file(&folder.path().join("nowhere.jsonl"), &folder.path().join("out.jsonl"));
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("nowhere.jsonl"), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
}

#[test]
fn a_packed_file_that_ends_too_early_is_bad_input_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("cut.jsonl.gz");
    let whole = packed(&lines([&aligned("a"), &drifted("b")]));
    std::fs::write(&input, &whole[..whole.len() - 12]).unwrap();
    let run = score_file(&input, &folder.path().join("out.jsonl"));
    assert!(run.code == 2 && run.stderr.contains("cut.jsonl.gz"), "{} {}", run.code, run.stderr);
}

/// One line out and its answer in, before the next line is written.
#[test]
fn a_program_that_waits_for_each_answer_gets_it() {
    let mut child = command(home(), ["score"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (send, answers) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            // The test has failed already if nobody listens.
            let _ = send.send(line);
        }
    });
    for id in ["1", "2", "3"] {
        stdin.write_all(&lines([&aligned(id)])).unwrap();
        stdin.flush().unwrap();
        let answer: Value = serde_json::from_str(&answers.recv_timeout(LIMIT).unwrap()).unwrap();
        assert_eq!((&answer["requestId"], &answer["status"]), (&id.into(), &"SCORED".into()));
    }
    drop(stdin);
    assert!(wait(&mut child).success());
}

#[test]
fn a_reader_that_goes_away_does_not_hang_the_program() {
    let mut child = command(home(), ["score"]).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let input = lines(&(0..200).map(|i| aligned(&i.to_string())).collect::<Vec<_>>());
    // The program may be gone before it has read everything.
    let _ = stdin.write_all(&input);
    drop(stdin);
    assert!(!wait(&mut child).success());
}
