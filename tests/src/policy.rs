//! Policy files of tests.

use std::path::PathBuf;

use tempfile::TempDir;

/// Writes a policy; it is there as long as the folder is.
pub fn policy_file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

/// A rule for each verdict, named like the tool that it is about. Scores are real; thresholds at either end make the
/// verdict certain.
pub fn five_verdicts() -> String {
    let rule = |tool: &str, set: &str| {
        format!("[[rules]]\nname = \"{tool}\"\nmatch = {{ tools = [\"{tool}\"] }}\nset = {{ {set} }}\n")
    };
    let over = |verdict: &str| {
        let keys = ["read", "write", "write_far"].map(|key| format!("{key} = \"{verdict}\""));
        format!("threshold = 0.0, delegated_write = \"ALLOW\", {}", keys.join(", "))
    };
    let tools = [("warn", "WARN"), ("ask", "ESCALATE"), ("deny", "DENY"), ("abstain", "ABSTAIN")];
    let rules = tools.map(|(tool, verdict)| rule(&format!("{tool}_send"), &over(verdict)));
    rule("allow_send", "threshold = 1.0") + &rules.concat()
}
