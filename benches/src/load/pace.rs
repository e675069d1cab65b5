//! Waiting for a moment, precisely and cheaply.

use std::thread;
use std::time::{Duration, Instant};

/// The last part of a wait is spun. Linux lets a sleeper sleep 50 us longer than it asked for, so this much is seldom
/// spun in fact; and it is little of the CPU that the server needs.
const SPIN: Duration = Duration::from_micros(60);

/// What to do about the time that is left.
#[derive(Debug, PartialEq, Eq)]
enum Wait {
    Over,
    Spin,
    Sleep(Duration),
}

fn wait(left: Duration) -> Wait {
    match left.checked_sub(SPIN) {
        _ if left.is_zero() => Wait::Over,
        Some(sleep) if !sleep.is_zero() => Wait::Sleep(sleep),
        _ => Wait::Spin,
    }
}

/// Blocks this thread until `at`; returns at once where that has passed.
pub fn wait_until(at: Instant) {
    loop {
        match wait(at.saturating_duration_since(Instant::now())) {
            Wait::Over => return,
            Wait::Spin => std::hint::spin_loop(),
            Wait::Sleep(time) => thread::park_timeout(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_waits_sleep_short_ones_spin() {
        assert_eq!(wait(Duration::ZERO), Wait::Over);
        assert_eq!(wait(Duration::from_nanos(1)), Wait::Spin);
        assert_eq!(wait(SPIN), Wait::Spin);
        assert_eq!(wait(Duration::from_millis(1)), Wait::Sleep(Duration::from_micros(940)));
    }

    #[test]
    fn no_wait_ends_early() {
        let at = Instant::now() + Duration::from_millis(3);
        wait_until(at);
        assert!(Instant::now() >= at);
        wait_until(at);
    }
}
