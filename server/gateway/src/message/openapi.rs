//! OpenAPI 3 documents in JSON: what a service says of its paths.

use rhumb_drift::InputError;
use serde_json::Value;

use super::route::{Name, Route};
use super::rules::OpenApiRule;
use super::template::Template;

const MOST_BYTES: u64 = 16 * 1024 * 1024;
const MOST_ROUTES: usize = 20_000;
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The routes of a document.
///
/// # Errors
/// Names `file`.
pub(super) fn routes(rule: &OpenApiRule) -> Result<Vec<Route>, InputError> {
    let fail = |problem: String| InputError::new("file", format!("{}: {problem}", rule.file.display()));
    let bytes = std::fs::metadata(&rule.file).map_err(|e| fail(e.to_string()))?.len();
    if bytes > MOST_BYTES {
        return Err(fail(format!("{bytes} bytes, at most {MOST_BYTES} are taken")));
    }
    let text = std::fs::read_to_string(&rule.file).map_err(|e| fail(e.to_string()))?;
    of_text(&text, &rule.host).map_err(fail)
}

/// The routes of a document's text.
pub(super) fn of_text(text: &str, host: &str) -> Result<Vec<Route>, String> {
    let document = rhumb_proto::json::parse_value(text).map_err(|e| e.to_string())?;
    let is_three = document.get("openapi").and_then(Value::as_str).is_some_and(|v| v.starts_with("3."));
    let Some(paths) = document.get("paths").and_then(Value::as_object).filter(|_| is_three) else {
        return Err("is no OpenAPI 3 document with paths".to_owned());
    };
    let mut routes = Vec::new();
    for base in bases(&document) {
        for (path, item) in paths.iter().filter(|(path, _)| path.starts_with('/')) {
            let template =
                Template::new(&format!("{base}{path}")).map_err(|e| format!("path `{path}` {e}"))?;
            let operations = METHODS.iter().filter_map(|method| Some((method, item.get(method)?)));
            routes.extend(
                operations.map(|(method, operation)| route(host, method, &template, item, operation)),
            );
            if routes.len() > MOST_ROUTES {
                return Err(format!("more than {MOST_ROUTES} operations"));
            }
        }
    }
    Ok(routes)
}

/// The paths under which the service lies; one that has variables is not known.
fn bases(document: &Value) -> Vec<String> {
    let servers = document.get("servers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let urls = servers.iter().filter_map(|server| server.get("url")?.as_str());
    let path = |url: &str| {
        let path = match url.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map(|(_, path)| format!("/{path}")).unwrap_or_default(),
            None => url.to_owned(),
        };
        path.trim_end_matches('/').to_owned()
    };
    let mut bases: Vec<_> = urls.map(path).filter(|path| !path.contains('{')).collect();
    bases.sort();
    bases.dedup();
    if bases.is_empty() { vec![String::new()] } else { bases }
}

fn route(host: &str, method: &str, template: &Template, item: &Value, operation: &Value) -> Route {
    let said = |name: &str| {
        let text = |value: &Value| value.get(name).and_then(Value::as_str).map(str::trim).map(str::to_owned);
        text(operation).or_else(|| text(item)).filter(|text| !text.is_empty())
    };
    let lines: Vec<_> = [said("summary"), said("description")].into_iter().flatten().collect();
    Route {
        host: host.to_lowercase(),
        method: method.to_uppercase(),
        template: template.clone(),
        name: operation.get("operationId").and_then(Value::as_str).map(|id| Name::Before(id.to_owned())),
        description: lines.join("\n"),
        effect: None,
        body: None,
        is_scored: true,
    }
}
