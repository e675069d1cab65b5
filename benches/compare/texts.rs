//! Actions as the texts that the encoder sees.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rhumb_drift::{Action, IntentText, Prepared};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Failure;

/// Bytes of a rendering, as the server has them by default.
const BUDGET: usize = 32 * 1024;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Request {
    request_id: String,
    intent: RequestIntent,
    action: RequestAction,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RequestIntent {
    text: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RequestAction {
    tool: String,
    tool_description: String,
    arguments: Map<String, Value>,
    input_schema: Option<Map<String, Value>>,
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Text {
    id: String,
    text: String,
}

/// Each rendering once, in the order of the file.
pub fn print(input: &Path) -> Result<(), Failure> {
    let mut output = BufWriter::new(std::io::stdout().lock());
    let mut seen = HashSet::new();
    for line in lines(input)? {
        let request: Request = serde_json::from_str(&line?)?;
        let RequestAction { tool, tool_description, arguments, input_schema, text } = request.action;
        let action = Action { tool, tool_description, arguments, input_schema, text, ..Action::default() };
        let text = Prepared::of(&action, &IntentText::of(&request.intent.text), BUDGET).main.text;
        if text.is_empty() || !seen.insert(text.clone()) {
            continue;
        }
        serde_json::to_writer(&mut output, &Text { id: request.request_id, text })?;
        output.write_all(b"\n")?;
    }
    Ok(output.flush()?)
}

/// The texts of a file as [`print()`] writes it.
pub fn read(path: &Path) -> Result<Vec<String>, Failure> {
    lines(path)?.map(|line| Ok(serde_json::from_str::<Text>(&line?)?.text)).collect()
}

fn lines(path: &Path) -> Result<impl Iterator<Item = std::io::Result<String>>, Failure> {
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let zipped = path.extension().is_some_and(|e| e == "gz");
    let reader: Box<dyn Read> = if zipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(BufReader::new(reader).lines())
}
