//! Imports from every kind of package, good and bad.

use super::*;
use crate::bundle::testing::{self, FILES};
use std::fs;

fn empty_store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(Some(home.path().join("home"))).unwrap();
    (home, store)
}

/// The tiny bundle's files below a prefix, without the manifest.
fn entries(prefix: &str) -> Vec<(String, &'static [u8])> {
    FILES.iter().map(|(path, _, bytes)| (format!("{prefix}{path}"), *bytes)).collect()
}

fn borrowed<'a>(entries: &'a [(String, &'static [u8])]) -> Vec<(&'a str, &'a [u8])> {
    entries.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect()
}

#[test]
fn a_directory_with_a_manifest() {
    let (place, store) = empty_store();
    for (folder, inner, name) in [("a", "a", "one"), ("b", "b/inner", "two")] {
        testing::write(&place.path().join(inner), Some(name));
        assert_eq!(import(&store, &place.path().join(folder)).unwrap().name, name);
        assert_eq!(store.load(name).unwrap().config, FILES[2].2);
    }
}

#[test]
fn archives_without_a_manifest_are_known_by_their_digests() {
    let known = [testing::manifest("other-first"), testing::manifest("tiny")];
    for prefix in ["", "snapshot/deep/"] {
        let (place, store) = empty_store();
        let (zip, tar) = (place.path().join("m.zip"), place.path().join("m.tar.gz"));
        testing::zip(&zip, &borrowed(&entries(prefix)));
        testing::tar_gz(&tar, &borrowed(&entries(prefix)));
        for path in [zip, tar] {
            assert_eq!(import_among(&store, &path, &known[1..]).unwrap().name, "tiny");
            store.load("tiny").unwrap();
            fs::remove_dir_all(store.home()).unwrap();
        }
    }
}

#[test]
fn what_is_not_found_is_listed_with_its_namesake() {
    let (place, store) = empty_store();
    let folder = place.path().join("m");
    testing::write(&folder, Some("tiny"));
    fs::write(folder.join("config.json"), "{\"layers\": 2}").unwrap();
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let error = import(&store, &folder).unwrap_err();
    let BundleError::Incomplete { name, missing, .. } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), missing.len()), ("tiny", 2));
    assert!(missing[0].starts_with("tokenizer.json (14 bytes"), "{error}");
    assert!(missing[1].contains(&digest::of(b"{\"layers\": 2}")), "{error}");
    assert!(!store.home().exists());
}

#[test]
fn a_folder_of_anything_else_lists_the_built_in_files() {
    let (place, store) = empty_store();
    let error = import(&store, place.path()).unwrap_err().to_string();
    assert!(error.contains("bundle minilm; not found: model.safetensors (90868376 bytes"), "{error}");
}

#[test]
fn a_forged_manifest_of_a_built_in_name_is_not_believed() {
    let (place, store) = empty_store();
    let folder = place.path().join("m");
    testing::write(&folder, Some("minilm"));
    let error = import(&store, &folder).unwrap_err();
    assert!(matches!(error, BundleError::Incomplete { .. }), "{error}");
}

#[test]
fn an_archive_that_points_outside_is_refused_whole() {
    let (place, store) = empty_store();
    let path = place.path().join("m.zip");
    let manifest = testing::text("tiny");
    let mut all = entries("");
    all.push(("../evil".to_owned(), b"x"));
    let mut all = borrowed(&all);
    all.push(("bundle.toml", manifest.as_bytes()));
    testing::zip(&path, &all);
    let error = import(&store, &path).unwrap_err().to_string();
    assert!(error.contains("../evil"), "{error}");
    assert!(!place.path().join("evil").exists() && !store.home().exists());
}

#[test]
fn several_manifests_are_not_guessed_between() {
    let (place, store) = empty_store();
    for name in ["one", "two"] {
        testing::write(&place.path().join("m").join(name), Some(name));
    }
    let error = import(&store, &place.path().join("m")).unwrap_err().to_string();
    assert!(error.contains("2 folders hold a bundle.toml"), "{error}");
}

#[test]
fn a_corrupt_bundle_is_replaced() {
    let (home, store, folder) = testing::store_with_tiny();
    fs::write(folder.join("config.json"), "spoilt").unwrap();
    testing::write(&home.path().join("m"), Some("tiny"));
    import(&store, &home.path().join("m")).unwrap();
    store.load("tiny").unwrap();
}

#[test]
fn imports_at_the_same_time_all_succeed() {
    let (place, store) = empty_store();
    testing::write(&place.path().join("m"), Some("tiny"));
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| import(&store, &place.path().join("m")))).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap().name, "tiny");
        }
    });
    store.load("tiny").unwrap();
    assert_eq!(fs::read_dir(store.home().join("bundles")).unwrap().count(), 2);
}
