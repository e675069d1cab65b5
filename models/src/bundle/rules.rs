//! What a manifest must keep to beyond its shape. A manifest may come from an archive of unknown origin, and its
//! fields become paths, arguments of a command and sizes to reserve.

use super::manifest::FILE_NAME;
use super::{FileSpec, Manifest, Role, Source, Wheel};

/// Bytes; far above any model this program can run.
const MAX_FILE: u64 = 8 << 30;

/// Checks every rule; the error is the first that is broken.
pub(super) fn check(manifest: &Manifest) -> Result<(), String> {
    ensure(is_name(&manifest.name), || {
        format!("name {:?} is not [a-z0-9][a-z0-9._-]{{0,63}}", manifest.name)
    })?;
    let length = manifest.encoder.max_length;
    ensure((8..=8192).contains(&length), || format!("max_length {length} is not in 8..=8192"))?;
    manifest.source.as_ref().map_or(Ok(()), check_source)?;
    manifest.wheel.as_ref().map_or(Ok(()), check_wheel)?;
    manifest.rounded_from.as_deref().map_or(Ok(()), check_digest)?;
    manifest.files.iter().try_for_each(check_file)?;
    check_roles(manifest)?;
    check_distinct(manifest)
}

/// Whether a name can be a bundle's: it becomes a directory.
pub(super) fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    first && name.len() <= 64 && name.chars().all(rest)
}

/// Whether a path stays below the directory it is joined to, on every platform.
pub(super) fn is_relative(path: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    !path.contains(['\\', ':']) && !path.contains(char::is_control) && path.split('/').all(plain)
}

/// A condition and what to say where it does not hold.
fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}

/// Letters and digits first, so that no value can read as an option of a command.
fn is_token(text: &str, extra: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

fn check_digest(digest: &str) -> Result<(), String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let right = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    ensure(right, || format!("rounded_from {digest:?} is not sha256: and 64 lower-case hexadecimal digits"))
}

fn check_source(source: &Source) -> Result<(), String> {
    let repository = &source.repository;
    ensure(is_relative(repository) && is_token(repository, "._-/"), || format!("repository {repository:?}"))?;
    let revision = &source.revision;
    ensure(is_relative(revision) && is_token(revision, "._-/"), || format!("revision {revision:?}"))
}

fn check_wheel(wheel: &Wheel) -> Result<(), String> {
    ensure(is_token(&wheel.package, "._-"), || format!("wheel package {:?}", wheel.package))?;
    ensure(is_token(&wheel.version, "._-+!"), || format!("wheel version {:?}", wheel.version))?;
    ensure(is_relative(&wheel.prefix), || format!("wheel prefix {:?} is not a relative path", wheel.prefix))
}

fn check_file(file: &FileSpec) -> Result<(), String> {
    let path = &file.path;
    ensure(is_relative(path), || format!("path {path:?} is not a relative path with '/' and without '..'"))?;
    ensure(!path.eq_ignore_ascii_case(FILE_NAME), || format!("path {path:?} is the manifest's own"))?;
    let (size, sha) = (file.size, &file.sha256);
    ensure((1..=MAX_FILE).contains(&size), || format!("{path}: size {size} is not in 1..={MAX_FILE}"))?;
    let digits = sha.len() == 64 && sha.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    ensure(digits, || format!("{path}: sha256 {sha:?} is not 64 lower-case hexadecimal digits"))
}

fn check_roles(manifest: &Manifest) -> Result<(), String> {
    for role in [Role::Weights, Role::Tokenizer, Role::Config] {
        let count = manifest.files.iter().filter(|file| file.role == role).count();
        ensure(count == 1, || {
            format!("{count} files of role {role:?}, expected exactly one").to_lowercase()
        })?;
    }
    Ok(())
}

/// Regardless of case, because some file systems are.
fn check_distinct(manifest: &Manifest) -> Result<(), String> {
    let mut paths: Vec<_> = manifest.files.iter().map(|file| file.path.to_lowercase()).collect();
    paths.sort_unstable();
    let count = paths.len();
    paths.dedup();
    ensure(paths.len() == count, || "two files share a path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing;
    use proptest::prelude::*;

    fn broken(from: &str, to: &str) -> String {
        let text = testing::text("tiny");
        assert!(text.contains(from), "{text}");
        Manifest::parse(&text.replacen(from, to, 1), "t").unwrap_err().to_string()
    }

    #[test]
    fn each_rule_names_what_breaks_it() {
        let cases = [
            ("name = \"tiny\"", "name = \"../tiny\"", "name"),
            ("name = \"tiny\"", "name = \"Tiny\"", "name"),
            ("max_length = 256", "max_length = 7", "max_length 7"),
            ("max_length = 256", "max_length = 8193", "max_length 8193"),
            ("role = \"config\"", "role = \"weights\"", "2 files of role weights"),
            ("role = \"config\"", "role = \"readme\"", "readme"),
            ("architecture = \"bert\"", "architecture = \"gpt\"", "gpt"),
            ("path = \"config.json\"", "path = \"../config.json\"", "../config.json"),
            ("path = \"config.json\"", "path = \"/config.json\"", "/config.json"),
            ("path = \"config.json\"", "path = 'a\\config.json'", "relative"),
            ("path = \"config.json\"", "path = \"C:config.json\"", "relative"),
            ("path = \"config.json\"", "path = \"bundle.toml\"", "the manifest's own"),
            ("path = \"config.json\"", "path = \"Tokenizer.json\"", "share a path"),
            ("size = ", "size = 0 # ", "size 0"),
            ("size = ", "size = 8589934593 # ", "size 8589934593"),
            ("sha256 = \"", "sha256 = \"F", "64 lower-case"),
        ];
        for (from, to, said) in cases {
            let error = broken(from, to);
            assert!(error.contains(said), "{to}: {error}");
        }
    }

    #[test]
    fn fields_that_reach_a_command_cannot_be_options() {
        let source = Source { repository: "owner/name".into(), revision: "-x".into() };
        assert!(check_source(&source).is_err());
        let wheel = Wheel { package: "--index-url=x".into(), version: "1".into(), prefix: "p".into() };
        assert!(check_wheel(&wheel).is_err());
        let wheel = Wheel { package: "p".into(), version: "1 --pre".into(), prefix: "p".into() };
        assert!(check_wheel(&wheel).is_err());
    }

    proptest! {
        #[test]
        fn a_relative_path_never_leaves_its_directory(path in "[a./\\\\:-]{0,12}") {
            let joined = std::path::Path::new("/base").join(&path);
            let plain = joined.components().all(|c| !matches!(c, std::path::Component::ParentDir));
            prop_assert!(!is_relative(&path) || (plain && joined.starts_with("/base")));
        }
    }
}
