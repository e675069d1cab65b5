//! What an operator says about reading requests: a part of the policy file.

use std::path::PathBuf;

use rhumb_drift::{Effect, InputError};
use serde::{Deserialize, Serialize};

use super::route::{Checked, Name, Route};
use super::template::Template;
use super::{openapi, path};

/// Rules about requests, and documents.
const RULES: usize = 1000;
const DOCUMENTS: usize = 64;
const LEAST_DECODED: usize = 1024;
const MOST_DECODED: usize = 64 * 1024 * 1024;
const SECRETS: [&str; 10] = [
    "password",
    "passwd",
    "token",
    "access_token",
    "refresh_token",
    "api_key",
    "apikey",
    "secret",
    "client_secret",
    "authorization",
];

/// What an operator says about reading requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Calls of the Model Context Protocol.
    pub mcp: McpRules,
    /// Requests as actions; of several that match, the first counts.
    pub http: Vec<HttpRule>,
    /// What services say of themselves. Rules of `http` come first.
    pub openapi: Vec<OpenApiRule>,
    /// Keys of queries, forms and JSON bodies that name secrets, in any case: dropped at any depth before anything is
    /// scored or kept. Arguments of MCP calls are the action and stay whole.
    pub secrets: Vec<String>,
    /// The most bytes of a body without its gzip encoding, 1 KiB to 64 MiB.
    pub max_decoded_bytes: usize,
    /// What becomes of WebSockets and tunnels: only their opening is seen.
    pub upgrade: OnUnknown,
}

/// Calls of the Model Context Protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct McpRules {
    /// `resources/read`.
    pub resources_read: Scoring,
    /// `prompts/get`.
    pub prompts_get: Scoring,
    /// Methods that nobody knows.
    pub unknown_method: OnUnknown,
}

/// Whether something is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scoring {
    /// It is.
    Score,
    /// It passes.
    Pass,
}

/// What becomes of what cannot be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// It passes and is counted.
    #[default]
    Pass,
    /// It is refused.
    Refuse,
}

/// What some requests are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRule {
    /// The host without its port; `*` stands for any characters.
    #[serde(default = "any")]
    pub host: String,
    /// The method, or `*`.
    #[serde(default = "any")]
    pub method: String,
    /// The path: `/v1/accounts/{account}/payments`.
    pub template: String,
    /// Name of the tool; without it, method and template.
    #[serde(default)]
    pub tool: Option<String>,
    /// What the tool does.
    #[serde(default)]
    pub description: String,
    /// What it does to the world; without it, by the method.
    #[serde(default)]
    pub effect: Option<Effect>,
    /// Fields of the body that are part of the action; without it, all.
    #[serde(default)]
    pub body: Option<Vec<String>>,
    /// Whether it is scored at all.
    #[serde(default = "yes")]
    pub score: bool,
}

/// What a service says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenApiRule {
    /// The host without its port; `*` stands for any characters.
    #[serde(default = "any")]
    pub host: String,
    /// An OpenAPI 3 document in JSON.
    pub file: PathBuf,
}

fn any() -> String {
    "*".to_owned()
}

fn yes() -> bool {
    true
}

impl Default for McpRules {
    fn default() -> Self {
        Self { resources_read: Scoring::Score, prompts_get: Scoring::Pass, unknown_method: OnUnknown::Pass }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            mcp: McpRules::default(),
            http: Vec::new(),
            openapi: Vec::new(),
            secrets: SECRETS.map(str::to_owned).to_vec(),
            max_decoded_bytes: 4 * 1024 * 1024,
            upgrade: OnUnknown::Pass,
        }
    }
}

impl Rules {
    /// Checks the rules and reads the documents.
    ///
    /// # Errors
    /// Names the field: `http[0].template`.
    pub fn check(&self) -> Result<Checked, InputError> {
        let is_fine = (LEAST_DECODED..=MOST_DECODED).contains(&self.max_decoded_bytes);
        at_most("http", self.http.len(), RULES)?;
        at_most("openapi", self.openapi.len(), DOCUMENTS)?;
        if !is_fine {
            let problem = format!("is not between {LEAST_DECODED} and {MOST_DECODED}");
            return Err(InputError::new("max_decoded_bytes", problem));
        }
        if self.secrets.iter().any(String::is_empty) {
            return Err(InputError::new("secrets", "has an empty name"));
        }
        let mut checked = self.without_routes();
        for (i, rule) in self.http.iter().enumerate() {
            let at = |e: InputError| InputError::new(format!("http[{i}].{}", e.field), e.problem);
            checked.routes.push(rule.check().map_err(at)?);
        }
        for (i, rule) in self.openapi.iter().enumerate() {
            let at = |e: InputError| InputError::new(format!("openapi[{i}].{}", e.field), e.problem);
            check_host(&rule.host).map_err(at)?;
            checked.documented.extend(openapi::routes(rule).map_err(at)?);
        }
        // Of a service's own paths the one with more fixed segments is meant.
        checked.documented.sort_by_key(|route| std::cmp::Reverse(route.template.literals()));
        Ok(checked)
    }

    pub(super) fn without_routes(&self) -> Checked {
        Checked {
            mcp: self.mcp.clone(),
            routes: Vec::new(),
            documented: Vec::new(),
            secrets: self.secrets.iter().map(|name| name.to_lowercase()).collect(),
            max_decoded_bytes: self.max_decoded_bytes,
            upgrade: self.upgrade,
        }
    }
}

fn at_most(field: &str, count: usize, most: usize) -> Result<(), InputError> {
    if count > most {
        return Err(InputError::new(field, format!("{count} entries, at most {most} are taken")));
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), InputError> {
    if host.is_empty() || host.contains(['/', ' ']) || path::server(host) != host.to_lowercase() {
        return Err(InputError::new("host", "is no host without a port"));
    }
    Ok(())
}

impl HttpRule {
    fn check(&self) -> Result<Route, InputError> {
        check_host(&self.host)?;
        if self.method != "*"
            && (self.method.is_empty() || !self.method.bytes().all(|b| b.is_ascii_uppercase()))
        {
            return Err(InputError::new("method", "is no method in capitals, and not `*`"));
        }
        if self.tool.as_ref().is_some_and(|tool| tool.trim().is_empty()) {
            return Err(InputError::new("tool", "is empty"));
        }
        Ok(Route {
            host: self.host.to_lowercase(),
            method: self.method.clone(),
            template: Template::new(&self.template)
                .map_err(|problem| InputError::new("template", problem))?,
            name: self.tool.clone().map(Name::Alone),
            description: self.description.clone(),
            effect: self.effect,
            body: self.body.clone(),
            is_scored: self.score,
        })
    }
}
