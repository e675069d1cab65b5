//! Which requests are known.

use std::collections::BTreeSet;

use rhumb_drift::Effect;
use serde_json::{Map, Value};

use super::path::{Path, fits};
use super::rules::{McpRules, OnUnknown, Rules};
use super::template::Template;

/// Rules that were checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    pub(super) mcp: McpRules,
    /// Of the operator.
    pub(super) routes: Vec<Route>,
    /// Of documents; those with more fixed segments first.
    pub(super) documented: Vec<Route>,
    pub(super) secrets: BTreeSet<String>,
    pub(super) max_decoded_bytes: usize,
    pub(super) upgrade: OnUnknown,
}

impl Default for Checked {
    fn default() -> Self {
        Rules::default().without_routes()
    }
}

/// Requests that an operator or a document describes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    pub host: String,
    pub method: String,
    pub template: Template,
    pub name: Option<Name>,
    pub description: String,
    pub effect: Option<Effect>,
    pub body: Option<Vec<String>>,
    pub is_scored: bool,
}

/// A tool's name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Name {
    /// It is all of it.
    Alone(String),
    /// It stands before method and template.
    Before(String),
}

/// What the rules say of a request.
pub(super) enum Found<'a> {
    /// This route, with what stands in its places.
    Exact(&'a Route, Map<String, Value>),
    /// A lenient server may take it for this route.
    Like(&'a Route),
    None,
}

impl Route {
    /// The tool's name in a request.
    pub fn tool(&self, method: &str) -> String {
        match &self.name {
            Some(Name::Alone(name)) => name.clone(),
            Some(Name::Before(name)) => format!("{name} {method} {}", self.template.text),
            None => format!("{method} {}", self.template.text),
        }
    }

    fn fits(&self, host: &str, method: &str) -> bool {
        (self.method == "*" || self.method == method) && fits(&self.host, host)
    }

    /// Many servers answer HEAD as they do GET.
    fn fits_like(&self, host: &str, method: &str) -> bool {
        self.fits(host, method) || (method == "HEAD" && self.fits(host, "GET"))
    }
}

impl Checked {
    pub(super) fn find(&self, host: &str, method: &str, path: &Path) -> Found<'_> {
        let all = || self.routes.iter().chain(&self.documented);
        // The path first: most routes fail there, and at once.
        let values = |route: &Route| path.is_plain.then(|| route.template.values(&path.segments)).flatten();
        let mut exact = all().filter_map(|route| Some((route, values(route)?)));
        if let Some((route, values)) = exact.find(|(route, _)| route.fits(host, method)) {
            return Found::Exact(route, values);
        }
        let lenient = path.lenient();
        let is_like = |route: &&Route| route.template.is_like(&lenient) && route.fits_like(host, method);
        all().find(is_like).map_or(Found::None, Found::Like)
    }
}
