//! The built program, the store with its model, and runs of the one with the other.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rhumb_models::Store;

/// No run takes longer.
pub const LIMIT: Duration = Duration::from_secs(120);

/// What a run left behind.
#[derive(Debug, Clone)]
pub struct Run {
    /// Exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

/// The binary under test: `$RHUMB_BIN`, else the one that cargo built beside this test.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("RHUMB_BIN") {
        return PathBuf::from(path);
    }
    // target/release/deps/test-1234 -> target/release/rhumb
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let path = folder.join(format!("rhumb{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is missing: run cargo test --release --workspace", path.display());
    path
}

/// The store with the bundle `minilm`: `$RHUMB_HOME`, else the user's own. Fetches the bundle if it is not there.
pub fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = Store::open(None).unwrap().home().to_path_buf();
        let fetched = run_in(&home, ["model", "fetch", "minilm"], b"");
        assert_eq!(fetched.code, 0, "{}", fetched.stderr);
        home
    })
}

/// The program with these arguments and this store, not yet started.
pub fn command<A: AsRef<OsStr>>(home: &Path, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program());
    command.args(args).env("RHUMB_HOME", home).env_remove("RHUMB_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end with the model at hand.
pub fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, input: &[u8]) -> Run {
    run_in(home(), args, input)
}

/// Runs the program to its end with a store of the caller's.
pub fn run_in<A: AsRef<OsStr>>(home: &Path, args: impl IntoIterator<Item = A>, input: &[u8]) -> Run {
    finish(command(home, args), input, LIMIT)
}

/// Runs a command to its end, which must come within a limit.
pub fn finish(mut command: Command, input: &[u8], limit: Duration) -> Run {
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // A program that ends before it has read everything closes the pipe; that is its right.
    thread::spawn(move || stdin.write_all(&input));
    let stdout = drain(child.stdout.take().unwrap());
    let stderr = drain(child.stderr.take().unwrap());
    let status = wait_for(&mut child, limit);
    Run {
        code: status.code().unwrap_or(-1),
        stdout: stdout.recv_timeout(LIMIT).unwrap(),
        stderr: String::from_utf8(stderr.recv_timeout(LIMIT).unwrap()).unwrap(),
    }
}

/// Reads a pipe to its end, so that the program never waits for us.
fn drain(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.read_to_end(&mut bytes);
        // Nobody listens any more if the test has failed already.
        let _ = read.map(|_| send.send(bytes));
    });
    receive
}

/// Waits for the end of a process; kills it and panics where that takes too long.
pub fn wait(child: &mut Child) -> ExitStatus {
    wait_for(child, LIMIT)
}

fn wait_for(child: &mut Child, limit: Duration) -> ExitStatus {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("still running after {limit:?}");
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}
