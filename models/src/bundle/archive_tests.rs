//! Packages of each kind, and archives that mean harm.

use super::*;
use crate::bundle::testing;

fn contents(path: &Path) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
    let mut found = Vec::new();
    Package::open(path)?.visit(&mut |entry, reader| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(entry.size, bytes.len() as u64);
        found.push((entry.name.clone(), bytes));
        Ok(())
    })?;
    found.sort();
    Ok(found)
}

#[test]
fn each_kind_shows_the_same_files() {
    let place = tempfile::tempdir().unwrap();
    let path = |name| place.path().join(name);
    let entries: [(&str, &[u8]); 2] = [("a", b"one"), ("b/c", b"two")];
    fs::create_dir_all(path("d/b")).unwrap();
    fs::write(path("d/a"), "one").unwrap();
    fs::write(path("d/b/c"), "two").unwrap();
    testing::zip(&path("z.whl"), &entries);
    fs::write(path("t.tar"), testing::tar(&entries)).unwrap();
    testing::tar_gz(&path("t.tgz"), &entries);
    let expected = [("a".to_owned(), b"one".to_vec()), ("b/c".to_owned(), b"two".to_vec())];
    for name in ["d", "z.whl", "t.tar", "t.tgz"] {
        assert_eq!(contents(&path(name)).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_leading_dot_slash_is_plain() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("t.tar");
    fs::write(&path, testing::tar(&[("./a", b"one")])).unwrap();
    assert_eq!(contents(&path).unwrap()[0].0, "a");
}

#[test]
fn a_name_that_leaves_the_archive_is_refused() {
    let place = tempfile::tempdir().unwrap();
    for name in ["../evil", "a/../../evil", "/evil", "a\\..\\evil"] {
        let (zip, tar) = (place.path().join("z.zip"), place.path().join("t.tar.gz"));
        testing::zip(&zip, &[(name, b"x")]);
        testing::tar_gz(&tar, &[(name, b"x")]);
        for path in [zip, tar] {
            let error = contents(&path).unwrap_err();
            assert!(matches!(error, BundleError::Archive { .. }), "{name}: {error}");
            assert!(error.to_string().contains("evil"), "{error}");
        }
    }
}

#[test]
fn links_in_archives_are_passed_over() {
    let place = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Fifo] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        builder.append_link(&mut header, "link", "/etc/hostname").unwrap();
    }
    let (tar, zip) = (place.path().join("t.tar"), place.path().join("z.zip"));
    fs::write(&tar, builder.into_inner().unwrap()).unwrap();
    let mut writer = zip::ZipWriter::new(File::create(&zip).unwrap());
    writer.add_symlink("link", "/etc/hostname", zip::write::SimpleFileOptions::default()).unwrap();
    writer.finish().unwrap();
    assert!(contents(&tar).unwrap().is_empty());
    assert!(contents(&zip).unwrap().is_empty());
}

#[cfg(unix)]
#[test]
fn a_directory_may_link_to_files_but_not_round() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("blobs")).unwrap();
    fs::write(place.path().join("blobs/1"), "one").unwrap();
    std::os::unix::fs::symlink("blobs/1", place.path().join("a")).unwrap();
    std::os::unix::fs::symlink("..", place.path().join("blobs/up")).unwrap();
    let names: Vec<_> = contents(place.path()).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "blobs/1"]);
}

#[test]
fn anything_else_is_named_as_such() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("x.zip");
    fs::write(&path, "not a zip").unwrap();
    assert!(contents(&path).unwrap_err().to_string().contains("x.zip: neither a directory nor"));
    assert!(contents(&place.path().join("none")).unwrap_err().to_string().starts_with("cannot open"));
}

#[test]
fn a_stream_without_end_is_cut() {
    let mut stream = Capped { inner: io::repeat(0), left: 1000 };
    assert!(io::copy(&mut stream, &mut io::sink()).unwrap_err().to_string().contains("unpacks to more than"));
}
