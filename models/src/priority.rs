//! How urgent the threads of an encoder are.

/// Steps below ordinary threads: a tenth of the weight when both want the same core.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lets ordinary threads go before the calling one where there are not enough cores for both. A network thread has some
/// microseconds of work, and a caller who waits for it; an encoder has milliseconds, and would make each of them wait for a
/// whole turn. Where nobody else wants the core nothing changes.
pub fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        // On Linux this is about the calling thread alone. It may always be lowered; if not, nothing but speed is lost.
        tracing::debug!(%error, "the priority of an encoder's thread could not be lowered");
    }
}
