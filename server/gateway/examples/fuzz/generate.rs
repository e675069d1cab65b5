//! Requests from parts. An input is text: `METHOD KIND PATH`, header lines, an empty line, the body.

use std::io::Write;

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::words;

fn one<'a>(rng: &mut Rng, words: &'a [&'a str]) -> &'a str {
    rng.choice(words).copied().unwrap_or_default()
}

/// A request.
pub fn request(rng: &mut Rng) -> Vec<u8> {
    let body = body(rng);
    // Most come as an honest enforcement point sends them: otherwise none would get beyond the first check.
    let is_honest = rng.u8(0..4) > 0;
    let mut head = head(rng, is_honest);
    if is_honest && rng.bool() {
        head.push_str(&format!("content-length: {}\n", body.len()));
    }
    [head.into_bytes(), b"\n".to_vec(), body].concat()
}

fn head(rng: &mut Rng, is_honest: bool) -> String {
    let (method, kind, path) = (one(rng, &words::METHODS), one(rng, &words::KINDS), one(rng, &words::PATHS));
    let mut head = format!("{method} {kind} {path}\n");
    if is_honest {
        head.push_str("content-type: application/json\n");
    }
    for _ in 0..rng.usize(0..if is_honest { 2 } else { 5 }) {
        if let Some((name, values)) = rng.choice(words::HEADERS) {
            head.push_str(&format!("{name}: {}\n", one(rng, values)));
        }
    }
    head
}

fn body(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(0..16) {
        0 => Vec::new(),
        1 => b"to=Bob&to=Eve&password=x&a%5Btoken%5D=%ff&=&&+".to_vec(),
        2 | 3 => (0..rng.usize(1..6)).map(|_| one(rng, &words::PARTS)).collect::<String>().into_bytes(),
        4 => gzip(call(rng).as_bytes(), rng.usize(1..4)),
        5 => value(rng, 4).into_bytes(),
        6 => {
            let calls: Vec<_> = (0..rng.usize(0..70)).map(|_| call(rng)).collect();
            format!("[{}]", calls.join(",")).into_bytes()
        }
        _ => call(rng).into_bytes(),
    }
}

fn gzip(bytes: &[u8], members: usize) -> Vec<u8> {
    let zip = |piece: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(piece).and_then(|()| encoder.finish()).unwrap_or_default()
    };
    bytes.chunks(bytes.len() / members + 1).flat_map(zip).collect()
}

fn call(rng: &mut Rng) -> String {
    let method = one(rng, &words::RPC_METHODS);
    let params = match rng.u8(0..6) {
        0 => value(rng, 3),
        1 => format!(
            r#"{{"message":{{"parts":[{{"text":"a"}},{{"data":{}}}],"contextId":"c"}}}}"#,
            value(rng, 2)
        ),
        2 => r#"{"uri":"file:///a"}"#.to_owned(),
        3 => format!(r#"{{"name":"pay","arguments":{},"task":{}}}"#, value(rng, 2), value(rng, 1)),
        _ => format!(r#"{{"name":"pay","arguments":{},"_meta":{}}}"#, object(rng, 3), object(rng, 2)),
    };
    let id = if rng.u8(0..8) == 0 { String::new() } else { format!(r#""id":{},"#, one(rng, &words::IDS)) };
    let more = if rng.u8(0..8) == 0 {
        format!(r#","{}":{}"#, one(rng, &words::KEYS), value(rng, 1))
    } else {
        String::new()
    };
    format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{params}{more}}}"#)
}

fn object(rng: &mut Rng, depth: usize) -> String {
    let members: Vec<_> = (0..rng.usize(0..4))
        .map(|_| format!("\"{}\":{}", one(rng, &words::KEYS), value(rng, depth - 1)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn value(rng: &mut Rng, depth: usize) -> String {
    match rng.u8(0..4) {
        0 if depth > 0 => object(rng, depth),
        1 if depth > 0 => {
            let items: Vec<_> = (0..rng.usize(0..4)).map(|_| value(rng, depth - 1)).collect();
            format!("[{}]", items.join(", "))
        }
        _ => one(rng, &words::SCALARS).to_owned(),
    }
}

/// A JSON text alone.
pub fn json(rng: &mut Rng) -> Vec<u8> {
    if rng.bool() {
        let (tool, arguments) = (one(rng, &words::SCALARS), object(rng, 3));
        return format!(r#"{{"action":{{"tool":{tool},"arguments":{arguments}}}}}"#).into_bytes();
    }
    value(rng, 4).into_bytes()
}

/// About a MiB that is hard to read.
pub fn large(rng: &mut Rng) -> Vec<u8> {
    let (kind, body): (&str, Vec<u8>) = match rng.u8(0..8) {
        0 => ("http", b"\r\n--XX".repeat(170_000)),
        1 => ("http", b"%41=%2f&".repeat(130_000)),
        2 => ("http", b"a=1&".repeat(260_000)),
        3 => ("http", [b"--XX\r\n".as_slice(), &b"a: \r\r".repeat(170_000)].concat()),
        4 => ("mcp", gzip(&vec![b' '; 64 << 20], 1)),
        5 => ("mcp", gzip(b"", 1).repeat(50_000)),
        _ => (one(rng, &words::KINDS), large_json(rng)),
    };
    let types = ["application/json", "multipart/form-data; boundary=XX", "application/x-www-form-urlencoded"];
    let content_type = one(rng, &types);
    let encoding = if body.starts_with(b"\x1f\x8b") { "content-encoding: gzip\n" } else { "" };
    let path = one(rng, &words::PATHS);
    let head = format!(
        "POST {kind} {path}\ncontent-type: {content_type}\n{encoding}content-length: {}\n\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// About a MiB of JSON.
pub fn large_json(rng: &mut Rng) -> Vec<u8> {
    let inner = match rng.u8(0..7) {
        0 => (0..100_000).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(",").into_bytes(),
        1 => b"\"a\":1,".repeat(170_000),
        2 => format!("\"a\":\"{}\"", "\\u0041".repeat(170_000)).into_bytes(),
        3 => format!("\"a\":[{}1{}]", "[".repeat(60), "]".repeat(60)).into_bytes(),
        4 => format!("\"a\":[{}]", vec!["[[[[]]]]"; 110_000].join(",")).into_bytes(),
        5 => format!("\"a\":{}", "1".repeat(1 << 20)).into_bytes(),
        _ => format!("\"a\":0.{}e-400", "1".repeat(1 << 20)).into_bytes(),
    };
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"#;
    [call.as_slice(), &inner, b"}}}"].concat()
}
