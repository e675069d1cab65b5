//! Whether a body is whole, and what its encoding hides.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay"}}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zipped(bytes: Vec<u8>) -> Request {
    Request::post(bytes).header("content-encoding", "gzip")
}

#[test]
fn what_the_enforcement_point_calls_partial_is_cut() {
    let request = Request::post(CALL);
    assert_eq!(
        request.clone().header("x-envoy-auth-partial-body", "true").status(Kind::Mcp),
        Status::Truncated
    );
    assert!(matches!(request.header("x-envoy-auth-partial-body", "false").what(Kind::Mcp), What::Action(_)));
}

#[test]
fn another_length_than_was_announced_is_cut() {
    for length in ["5", "", "x", "71,72", "-1", "+71", "18446744073709551687"] {
        let request = Request::post(CALL).header("content-length", length);
        assert_eq!(request.status(Kind::Mcp), Status::Truncated, "{length}");
    }
    let length = CALL.len().to_string();
    let twice = Request::post(CALL).header("content-length", &length).header("content-length", "5");
    assert_eq!(twice.status(Kind::Mcp), Status::Truncated);
}

#[test]
fn json_that_ends_too_early_is_cut_unless_its_length_was_announced() {
    for kind in [Kind::Mcp, Kind::A2a, Kind::Http, Kind::Auto] {
        let half = Request::post(&CALL.as_bytes()[..30]);
        assert_eq!(half.clone().without_length().status(kind), Status::Truncated);
        assert_eq!(half.status(kind), Status::Unparsable);
    }
}

#[test]
fn a_body_without_length_that_ends_at_a_limit_is_cut() {
    let at = |limit, size| {
        let body = format!("{CALL}{}", " ".repeat(size - CALL.len()));
        Request { buffer_limit: limit, ..Request::post(body).without_length() }
    };
    assert_eq!(at(Some(1000), 1000).status(Kind::Mcp), Status::Truncated);
    assert_eq!(at(None, 65_536).status(Kind::Mcp), Status::Truncated);
    assert_eq!(at(None, 3 * 65_536).status(Kind::Mcp), Status::Truncated);
    assert!(matches!(at(Some(1001), 1000).what(Kind::Mcp), What::Action(_)));
    assert!(matches!(at(Some(131_072), 65_536).what(Kind::Mcp), What::Action(_)));
    let known = Request { has_length: true, ..at(Some(1000), 1000) };
    assert!(matches!(known.what(Kind::Mcp), What::Action(_)));
}

#[test]
fn a_body_that_was_announced_and_did_not_come_is_cut() {
    assert_eq!(Request::post("").status(Kind::Http), Status::Truncated);
    assert_eq!(Request::post("").header("content-length", "0").asked(Kind::Http).tool, "POST /mcp");
    assert_eq!(Request::new("POST", "/a").asked(Kind::Http).tool, "POST /a");
    assert_eq!(Request::new("GET", "/a").typed("application/json").asked(Kind::Http).tool, "GET /a");
}

#[test]
fn gzip_is_decoded_with_all_its_members() {
    let (first, second) = CALL.as_bytes().split_at(20);
    let members = [gzip(first), gzip(second)].concat();
    for body in [gzip(CALL.as_bytes()), members] {
        assert_eq!(zipped(body).asked(Kind::Mcp).tool, "pay");
    }
    let plain = Request::post(CALL).header("content-encoding", "identity");
    assert_eq!(plain.asked(Kind::Mcp).tool, "pay");
}

#[test]
fn broken_and_other_encodings_are_unparsable() {
    let whole = gzip(CALL.as_bytes());
    let half = whole[..whole.len() - 9].to_vec();
    let garbage = [whole.clone(), b"x".to_vec()].concat();
    let many = gzip(b"").repeat(100);
    for body in [half.clone(), garbage, many, CALL.as_bytes().to_vec()] {
        assert_eq!(zipped(body).status(Kind::Mcp), Status::Unparsable);
    }
    assert_eq!(zipped(half).without_length().status(Kind::Mcp), Status::Truncated);
    for encoding in ["br", "deflate", "gzip, gzip", "gzip,br", "zstd"] {
        let request = Request::post(whole.clone()).header("content-encoding", encoding);
        assert_eq!(request.status(Kind::Mcp), Status::Unparsable, "{encoding}");
        assert_eq!(request.read(Kind::Auto).kind, Kind::Mcp);
    }
}

#[test]
fn a_bomb_stops_at_the_cap() {
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    let started = std::time::Instant::now();
    let broken = zipped(bomb.clone()).broken(Kind::Mcp);
    assert_eq!(broken.status, Status::Unparsable);
    assert!(broken.detail.contains("4194304") && started.elapsed().as_millis() < 500, "{broken:?}");
    // The cap is that of all members together.
    let small = rules(json!({"max_decoded_bytes": 1024}));
    let two = zipped([gzip(&[b' '; 600]), gzip(&[b' '; 600])].concat());
    assert!(matches!(two.read_by(Kind::Mcp, &small).items[0].what, What::Broken(_)));
}

#[test]
fn text_that_is_not_utf8_is_unparsable() {
    assert_eq!(Request::post(b"{\"a\":\"\xff\"}".to_vec()).status(Kind::Http), Status::Unparsable);
    assert_eq!(Request::post(b"\xef\xbb\xbf{}".to_vec()).status(Kind::Mcp), Status::Unparsable);
}
