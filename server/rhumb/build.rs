//! Tells the program which commit it was built from, where there is one.

use std::path::Path;
use std::process::Command;

fn main() {
    // The folder of a worktree lies elsewhere, so git is asked where its files are.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]);
        path.iter().filter(|p| Path::new(p).exists()).for_each(|p| println!("cargo:rerun-if-changed={p}"));
    }
    println!("cargo:rerun-if-changed=build.rs");
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    println!("cargo:rustc-env=RHUMB_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
