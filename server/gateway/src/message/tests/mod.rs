use super::*;
use serde_json::json;

mod a2a;
mod detect;
mod http;
mod json;
mod mcp;
mod multipart;
mod property;
mod rules;
mod whole;

/// A request to be changed by a test.
#[derive(Clone)]
struct Request {
    method: &'static str,
    host: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    buffer_limit: Option<usize>,
    has_length: bool,
}

impl Request {
    fn new(method: &'static str, path: &str) -> Self {
        let (host, headers, body) = ("tools.example:8080", Vec::new(), Vec::new());
        Self { method, host, path: path.to_owned(), headers, body, buffer_limit: None, has_length: true }
    }

    fn post(body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", "/mcp").header("content-type", "application/json").body(body)
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn typed(mut self, content_type: &str) -> Self {
        self.headers.retain(|(name, _)| *name != "content-type");
        self.header("content-type", content_type)
    }

    fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    fn without_length(self) -> Self {
        Self { has_length: false, ..self }
    }

    fn read_by(&self, kind: Kind, rules: &Checked) -> Reading {
        let mut lines = self.headers.clone();
        if self.has_length
            && !self.body.is_empty()
            && !lines.iter().any(|(name, _)| *name == "content-length")
        {
            lines.push(("content-length", self.body.len().to_string()));
        }
        let headers: Headers = lines.into_iter().collect();
        let message = HttpMessage {
            method: self.method,
            scheme: "https",
            host: self.host,
            path: &self.path,
            headers: &headers,
            body: &self.body,
            buffer_limit: self.buffer_limit,
        };
        read(&message, kind, rules)
    }

    fn read(&self, kind: Kind) -> Reading {
        self.read_by(kind, &Checked::default())
    }

    fn what(&self, kind: Kind) -> What {
        self.item(kind).what
    }

    fn item(&self, kind: Kind) -> Item {
        let mut items = self.read(kind).items;
        assert_eq!(items.len(), 1);
        items.remove(0)
    }

    fn asked(&self, kind: Kind) -> Asked {
        self.asked_by(kind, &Checked::default())
    }

    fn asked_by(&self, kind: Kind, rules: &Checked) -> Asked {
        match self.read_by(kind, rules).items.remove(0).what {
            What::Action(asked) => *asked,
            other => panic!("{other:?}"),
        }
    }

    fn broken(&self, kind: Kind) -> Broken {
        match self.what(kind) {
            What::Broken(broken) => broken,
            other => panic!("{other:?}"),
        }
    }

    fn status(&self, kind: Kind) -> Status {
        self.broken(kind).status
    }

    fn passed(&self, kind: Kind) -> Option<Passed> {
        match self.what(kind) {
            What::Pass(passed) => Some(passed),
            _ => None,
        }
    }
}

fn call(method: &str, params: Value) -> Request {
    Request::post(json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string())
}

fn rules(value: Value) -> Checked {
    serde_json::from_value::<Rules>(value).unwrap().check().unwrap()
}
