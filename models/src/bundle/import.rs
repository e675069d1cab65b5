//! Installing a bundle from files that somebody brought: the way in for a machine without a network.

use std::io::Read;
use std::path::Path;

use super::archive::{Entry, MAX_UNPACKED, Package};
use super::install::{Lock, Staging};
use super::store::MAX_MANIFEST;
use super::{BundleError, FileSpec, Manifest, Store, digest, manifest};

/// A file of the package whose size or name is that of a wanted one.
struct Seen {
    name: String,
    size: u64,
    /// None where the size already rules the file out.
    sha256: Option<String>,
}

/// Installs a bundle from a directory or a .zip, .whl, .tar, .tar.gz or .tgz archive.
///
/// With a `bundle.toml` at the root or in one folder below it, that manifest says what to take, except that a
/// built-in name keeps its built-in manifest. Without, the files of a built-in bundle are found by size and
/// digest, wherever they lie and whatever they are called.
///
/// # Errors
/// If the package cannot be read or is hostile, or which files it lacks.
pub fn import(store: &Store, path: &Path) -> Result<Manifest, BundleError> {
    let known: Vec<_> = Manifest::built_in_names().filter_map(Manifest::built_in).collect();
    import_among(store, path, &known)
}

/// [`import`] with the bundles that may be found without a manifest.
fn import_among(store: &Store, path: &Path, known: &[Manifest]) -> Result<Manifest, BundleError> {
    let package = Package::open(path)?;
    let wanted = match declared(&package)? {
        Some(manifest) => {
            vec![known.iter().find(|one| one.name == manifest.name).cloned().unwrap_or(manifest)]
        }
        None => known.to_vec(),
    };
    let seen = survey(&package, &wanted)?;
    let manifest = choose(&package, wanted, &seen)?;
    let lock =
        Lock::acquire(store, &mut || tracing::info!("waiting for another process to leave the store"))?;
    if !store.holds(&manifest) {
        let staging = lock.stage(&manifest)?;
        gather(&package, &manifest, &seen, &staging)?;
        staging.commit()?;
    }
    Ok(manifest)
}

/// The manifest that the package carries, if it carries one.
fn declared(package: &Package) -> Result<Option<Manifest>, BundleError> {
    let mut found: Vec<(String, String)> = Vec::new();
    package.visit(&mut |entry, reader| {
        let (folder, name) = entry.name.rsplit_once('/').unwrap_or(("", &entry.name));
        if name == manifest::FILE_NAME && !folder.contains('/') {
            found.push((entry.name.clone(), text(package, entry, reader)?));
        }
        Ok(())
    })?;
    // At the root it speaks for the whole package, whatever lies in the folders.
    let root = found.iter().position(|(name, _)| name == manifest::FILE_NAME);
    match (root.and_then(|at| found.get(at)), found.as_slice()) {
        (Some((name, text)), _) | (None, [(name, text)]) => {
            Manifest::parse(text, &package.locate(name).display().to_string()).map(Some)
        }
        (None, []) => Ok(None),
        (None, more) => {
            let reason = format!("{} folders hold a {}; import one of them", more.len(), manifest::FILE_NAME);
            Err(BundleError::archive(package.path(), reason))
        }
    }
}

fn text(package: &Package, entry: &Entry, reader: &mut dyn Read) -> Result<String, BundleError> {
    let (path, mut text) = (package.locate(&entry.name), String::new());
    reader.take(MAX_MANIFEST).read_to_string(&mut text).map_err(BundleError::io("read", &path))?;
    Ok(text)
}

/// Digests the files whose size some wanted file has; no other is read, so a bomb has nothing to set it off.
fn survey(package: &Package, wanted: &[Manifest]) -> Result<Vec<Seen>, BundleError> {
    let specs: Vec<_> = wanted.iter().flat_map(|manifest| &manifest.files).collect();
    let (mut seen, mut total) = (Vec::new(), 0u64);
    package.visit(&mut |entry, reader| {
        if !specs.iter().any(|spec| spec.size == entry.size) {
            let namesake = specs.iter().any(|spec| base(&spec.path) == base(&entry.name));
            seen.extend(namesake.then(|| Seen { name: entry.name.clone(), size: entry.size, sha256: None }));
        } else {
            total = total.saturating_add(entry.size);
            if total > MAX_UNPACKED {
                let reason = format!("holds more than {MAX_UNPACKED} bytes of files that could be wanted");
                return Err(BundleError::archive(package.path(), reason));
            }
            seen.push(look(package, entry, reader)?);
        }
        Ok(())
    })?;
    Ok(seen)
}

fn look(package: &Package, entry: &Entry, reader: &mut dyn Read) -> Result<Seen, BundleError> {
    let path = package.locate(&entry.name);
    let found = digest::tally(reader, entry.size).map_err(BundleError::io("read", &path))?;
    Ok(Seen { name: entry.name.clone(), size: found.bytes, sha256: Some(found.sha256) })
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The bundle of which all files are there; if there is none, what the nearest one lacks.
fn choose(package: &Package, wanted: Vec<Manifest>, seen: &[Seen]) -> Result<Manifest, BundleError> {
    let lacking =
        |manifest: &Manifest| manifest.files.iter().filter(|spec| find(spec, seen).is_none()).count();
    let Some(nearest) = wanted.into_iter().min_by_key(lacking) else {
        return Err(BundleError::archive(package.path(), "holds no bundle.toml"));
    };
    if lacking(&nearest) == 0 {
        return Ok(nearest);
    }
    let missing = nearest.files.iter().filter(|spec| find(spec, seen).is_none()).map(|spec| lack(spec, seen));
    let (path, missing) = (package.path().to_path_buf(), missing.collect());
    Err(BundleError::Incomplete { path, name: nearest.name.clone(), missing })
}

fn find<'a>(spec: &FileSpec, seen: &'a [Seen]) -> Option<&'a Seen> {
    seen.iter().find(|one| one.size == spec.size && one.sha256.as_ref() == Some(&spec.sha256))
}

/// A file that is not there, and one of its name that is: the likeliest cause is a different revision.
fn lack(spec: &FileSpec, seen: &[Seen]) -> String {
    let namesake = seen.iter().find(|one| base(&one.name) == base(&spec.path));
    let near = namesake.map_or_else(String::new, |one| match &one.sha256 {
        Some(sha256) if one.size == spec.size => format!("; {} has sha256 {sha256}", one.name),
        _ => format!("; {} has {} bytes", one.name, one.size),
    });
    format!("{} ({} bytes, sha256 {}{near})", spec.path, spec.size, spec.sha256)
}

/// Copies the files that the survey found; they are digested again on the way, so nothing rests on the survey.
fn gather(
    package: &Package,
    manifest: &Manifest,
    seen: &[Seen],
    staging: &Staging<'_>,
) -> Result<(), BundleError> {
    let mut left: Vec<_> =
        manifest.files.iter().filter_map(|spec| Some((spec, &find(spec, seen)?.name))).collect();
    package.visit(&mut |entry, reader| {
        // By name once: an archive may hold a name twice, and a file of the bundle is wanted once.
        let Some(at) = left.iter().position(|(spec, name)| **name == entry.name && spec.size == entry.size)
        else {
            return Ok(());
        };
        let (spec, name) = left.swap_remove(at);
        staging.put(spec, &package.locate(name), reader, &mut |_| {})
    })?;
    match left.first() {
        None => Ok(()),
        Some((spec, name)) => {
            let reason = format!("{name} ({}) was there and is gone", spec.path);
            Err(BundleError::archive(package.path(), reason))
        }
    }
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
