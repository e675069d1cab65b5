//! Tiny bundles for tests: no test needs the real weights.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::{Manifest, Store, digest};

/// Path, role and contents of each file of every tiny bundle.
pub(super) const FILES: [(&str, &str, &[u8]); 3] = [
    ("model.safetensors", "weights", b"these are the weights"),
    ("tokenizer.json", "tokenizer", b"{\"tokens\": []}"),
    ("config.json", "config", b"{\"layers\": 1}"),
];

/// The text of a tiny bundle's manifest.
pub(super) fn text(name: &str) -> String {
    let mut text = format!(
        "name = \"{name}\"\ndescription = \"for tests\"\nlicence = \"Apache-2.0\"\n[encoder]\n\
         architecture = \"bert\"\npooling = \"cls\"\nnormalize = true\nmax_length = 256\n"
    );
    for (path, role, bytes) in FILES {
        let (size, sha256) = (bytes.len(), digest::of(bytes));
        text += &format!(
            "[[files]]\nrole = \"{role}\"\npath = \"{path}\"\nsize = {size}\nsha256 = \"{sha256}\"\n"
        );
    }
    text
}

/// A tiny bundle's manifest.
pub(super) fn manifest(name: &str) -> Manifest {
    Manifest::parse(&text(name), "test").unwrap()
}

/// Writes the three files, and the manifest if wanted, into a folder.
pub(super) fn write(folder: &Path, name: Option<&str>) {
    fs::create_dir_all(folder).unwrap();
    for (path, _, bytes) in FILES {
        fs::write(folder.join(path), bytes).unwrap();
    }
    if let Some(name) = name {
        fs::write(folder.join("bundle.toml"), text(name)).unwrap();
    }
}

/// A store with the bundle `tiny` in it, and the bundle's folder.
pub(super) fn store_with_tiny() -> (tempfile::TempDir, Store, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("bundles/tiny");
    write(&folder, Some("tiny"));
    let store = Store::open(Some(home.path().into())).unwrap();
    (home, store, folder)
}

/// A zip archive of names and contents.
pub(super) fn zip(path: &Path, entries: &[(&str, &[u8])]) {
    let mut writer = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
}

/// A tar stream of names and contents; the names go in raw, as a hostile writer would put them.
pub(super) fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The same, compressed.
pub(super) fn tar_gz(path: &Path, entries: &[(&str, &[u8])]) {
    let file = fs::File::create(path).unwrap();
    let mut writer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    writer.write_all(&tar(entries)).unwrap();
    writer.finish().unwrap();
}
