//! A batch at work: groups of texts, and teams that compute them.
//!
//! Whoever takes part is known by a number. The owner of the batch is number 0 and stays until the last group is done; others
//! may come and go between two pieces of work. One who holds no piece is never waited for, wherever the system has put him.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::team::Team;

/// Computes a group, by its number, with a team.
pub type Each<'a> = dyn Fn(usize, &Team) + Sync + 'a;

/// The groups of a batch, dealt out to whoever is free.
pub struct Job {
    each: *const Each<'static>,
    groups: usize,
    /// Of each team, its leader included.
    members: usize,
    teams: Box<[Team]>,
    /// The next group that nobody has taken.
    next: AtomicUsize,
    done: AtomicUsize,
    panicked: AtomicBool,
    last: Mutex<()>,
    over: Condvar,
}

// SAFETY: `each` is `Sync`. It is called for a group that was claimed and is not done, and `Job::finish`, which the owner
// calls before what it lent goes, waits until every group is done.
#[allow(unsafe_code, reason = "see above")]
unsafe impl Send for Job {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "see above")]
unsafe impl Sync for Job {}

impl Job {
    /// For so many groups, by `teams` teams of `members`.
    ///
    /// # Safety
    /// The caller must call [`Job::finish`] before `each` goes, whatever happens in between.
    #[allow(unsafe_code, reason = "the work is borrowed by threads that outlive it")]
    pub unsafe fn new(groups: usize, teams: usize, members: usize, each: &Each<'_>) -> Self {
        let members = members.max(1);
        Self {
            // SAFETY: only the lifetime changes, and the caller keeps the work until `finish`.
            each: unsafe { std::mem::transmute::<*const Each<'_>, *const Each<'static>>(each) },
            groups,
            members,
            teams: (0..teams.max(1)).map(|_| Team::new(members)).collect(),
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            last: Mutex::new(()),
            over: Condvar::new(),
        }
    }

    /// How many can take part, the owner included.
    pub fn places(&self) -> usize {
        self.groups.min(self.teams.len()).saturating_mul(self.members)
    }

    /// Whether this number would find something to do.
    pub fn wants(&self, number: usize) -> bool {
        if self.leads(number) { self.next.load(Ordering::Relaxed) < self.groups } else { !self.is_over() }
    }

    /// Whether this number takes whole groups; others help, and can leave within some ten microseconds.
    pub fn leads(&self, number: usize) -> bool {
        number.is_multiple_of(self.members)
    }

    /// Takes part while there is work and the number `may`.
    pub fn take_part(&self, number: usize, may: impl Fn() -> bool) {
        let Some(team) = self.teams.get(number / self.members) else { return };
        if self.leads(number) {
            while may() && self.lead_one(team) {}
        } else {
            team.help(|| self.is_over() || !may());
        }
    }

    /// Waits for the last group.
    ///
    /// # Panics
    /// If a group panicked.
    pub fn finish(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is_over() {
            last = self.over.wait(last).unwrap_or_else(PoisonError::into_inner);
        }
        drop(last);
        assert!(!self.panicked.load(Ordering::Relaxed), "a thread of the encoder panicked");
    }

    fn is_over(&self) -> bool {
        self.done.load(Ordering::Acquire) >= self.groups
    }

    /// Takes and computes the next group, if there is one.
    #[allow(unsafe_code, reason = "calls work that the owner lent")]
    fn lead_one(&self, team: &Team) -> bool {
        let group = self.next.fetch_add(1, Ordering::Relaxed);
        if group >= self.groups {
            return false;
        }
        // SAFETY: the group is claimed and not done, so the owner has not passed `finish`.
        let computed = catch_unwind(AssertUnwindSafe(|| unsafe { (*self.each)(group, team) }));
        if computed.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        if self.done.fetch_add(1, Ordering::AcqRel) + 1 == self.groups {
            // Under the lock, or the owner might look before this and sleep after it.
            let _last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            self.over.notify_all();
        }
        true
    }
}

#[cfg(test)]
#[allow(unsafe_code, reason = "the tests keep their work until it is finished")]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_computed_once_whoever_takes_part() {
        let counts: Vec<AtomicUsize> = (0..50).map(|_| AtomicUsize::new(0)).collect();
        let each = |group: usize, _: &Team| {
            counts[group].fetch_add(1, Ordering::Relaxed);
        };
        let job = unsafe { Job::new(50, 2, 2, &each) };
        assert_eq!(job.places(), 4);
        std::thread::scope(|scope| {
            for number in 1..4 {
                let job = &job;
                scope.spawn(move || job.take_part(number, || true));
            }
            job.take_part(0, || true);
            job.finish();
        });
        assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        assert!((0..4).all(|number| !job.wants(number)));
    }

    #[test]
    fn who_may_not_takes_nothing_and_leaves() {
        let each = |_: usize, _: &Team| {};
        let job = unsafe { Job::new(3, 3, 1, &each) };
        job.take_part(1, || false);
        assert!(job.wants(1) && !job.is_over());
        job.take_part(0, || true);
        job.finish();
    }

    #[test]
    fn a_panic_of_one_group_ends_the_job_and_reaches_the_owner() {
        let each = |group: usize, _: &Team| assert!(group != 1, "as the test asked");
        let job = unsafe { Job::new(4, 1, 1, &each) };
        job.take_part(0, || true);
        assert!(catch_unwind(AssertUnwindSafe(|| job.finish())).is_err());
        assert!(job.is_over());
    }
}
