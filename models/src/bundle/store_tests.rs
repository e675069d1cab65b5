//! The store against good, damaged and forged bundles.

use super::*;
use crate::bundle::testing::{self, FILES};

#[test]
fn a_good_bundle_loads_with_its_bytes() {
    let (_home, store, _) = testing::store_with_tiny();
    let bundle = store.load("tiny").unwrap();
    assert_eq!(bundle.manifest, testing::manifest("tiny"));
    assert_eq!((&*bundle.weights, &*bundle.tokenizer, &*bundle.config), (FILES[0].2, FILES[1].2, FILES[2].2));
}

#[test]
fn one_flipped_byte_names_the_file_and_both_digests() {
    let (_home, store, folder) = testing::store_with_tiny();
    let mut bytes = FILES[0].2.to_vec();
    bytes[5] ^= 1;
    fs::write(folder.join("model.safetensors"), &bytes).unwrap();
    let error = store.load("tiny").unwrap_err().to_string();
    for part in ["model.safetensors", &digest::of(&bytes), &digest::of(FILES[0].2)] {
        assert!(error.contains(part), "{error}");
    }
    let reports = store.verify("tiny").unwrap();
    assert_eq!(reports.iter().map(|report| report.ok).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn a_truncated_file_and_a_long_one_name_both_sizes() {
    let (_home, store, folder) = testing::store_with_tiny();
    for bytes in [&b"{}"[..], b"{\"tokens\": []} and more"] {
        fs::write(folder.join("tokenizer.json"), bytes).unwrap();
        let error = store.load("tiny").unwrap_err();
        let BundleError::Size { path, expected, found } = error else { panic!("{error}") };
        assert!(path.ends_with("tokenizer.json"));
        assert_eq!((expected, found), (FILES[1].2.len() as u64, bytes.len() as u64));
    }
    assert_eq!(store.list().unwrap()[1].state, State::Incomplete);
}

#[test]
fn a_missing_file_is_told_from_a_missing_bundle() {
    let (_home, store, folder) = testing::store_with_tiny();
    fs::remove_file(folder.join("config.json")).unwrap();
    assert!(
        matches!(store.load("tiny"), Err(BundleError::MissingFile { path, .. }) if path.ends_with("config.json"))
    );
    let error = store.load("other").unwrap_err().to_string();
    assert!(error.contains("other is not installed") && error.contains("rhumb model import"), "{error}");
    assert!(!error.contains("rhumb model fetch"), "{error}");
    let error = store.verify("minilm").unwrap_err().to_string();
    assert!(error.contains("rhumb model fetch minilm"), "{error}");
}

#[test]
fn a_name_cannot_leave_the_store() {
    let (_home, store, _) = testing::store_with_tiny();
    for name in ["../tiny", "", ".staging-tiny-1", "/tiny", "tiny/../tiny"] {
        assert!(matches!(store.load(name), Err(BundleError::Name { .. })), "{name}");
    }
}

#[test]
fn no_manifest_on_disk_overrules_a_built_in_one() {
    let (home, store, _) = testing::store_with_tiny();
    testing::write(&home.path().join("bundles/minilm"), Some("minilm"));
    let error = store.load("minilm").unwrap_err();
    assert!(matches!(error, BundleError::Size { expected: 90_868_376, .. }), "{error}");
}

#[test]
fn a_manifest_of_another_name_is_refused() {
    let (home, store, folder) = testing::store_with_tiny();
    fs::rename(folder, home.path().join("bundles/other")).unwrap();
    let error = store.load("other").unwrap_err().to_string();
    assert!(error.contains("bundle.toml: is that of tiny, not of other"), "{error}");
}

#[test]
fn the_list_has_built_in_installed_and_broken_bundles() {
    let (home, store, _) = testing::store_with_tiny();
    fs::create_dir_all(home.path().join("bundles/broken")).unwrap();
    fs::create_dir_all(home.path().join("bundles/.staging-x-1")).unwrap();
    let found = store.list().unwrap();
    let lines: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.state, one.built_in)).collect();
    let expected = [
        ("broken", State::Incomplete, false),
        ("minilm", State::Absent, true),
        ("tiny", State::Present, false),
    ];
    assert_eq!(lines, expected);
    assert_eq!(found[2].digest, Some(testing::manifest("tiny").digest()));
}

#[test]
fn an_empty_home_lists_the_built_in_bundles() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(Some(home.path().join("not there"))).unwrap();
    assert_eq!(store.list().unwrap().len(), Manifest::built_in_names().count());
    assert!(!store.home().exists());
}
