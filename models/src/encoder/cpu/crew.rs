//! Who has how many threads of a processor.
//!
//! An encoder that computes alone has all of them. Where several compute at once each has its share: two texts side by side on
//! a thread each are done sooner than one after the other on two, which have to meet after every product. Each encoder
//! brings its own thread. The others are helpers, that all encoders have in common: they go to whoever is short of threads,
//! and leave as soon as another encoder begins, which waits those microseconds rather than being put before somebody who
//! is in the middle of a piece that others wait for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::job::{Each, Job};
use crate::priority::step_back;

/// Threads for which there is one more encoder.
const THREADS_OF_A_SEAT: usize = 2;
/// Encoders at most: a batch holds several texts where more come at once.
const MOST_SEATS: usize = 4;

/// Encoders that can compute side by side on so many threads.
pub fn seats(threads: usize) -> usize {
    (threads / THREADS_OF_A_SEAT).clamp(2, MOST_SEATS).min(threads)
}

/// The threads of a processor, and who computes on them.
pub struct Crew {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

struct Shared {
    threads: usize,
    /// Encoders that compute, or wait for a helper to make room.
    working: AtomicUsize,
    state: Mutex<State>,
    /// Help is wanted, or the end has come.
    called: Condvar,
    /// A thread has become free.
    room: Condvar,
}

#[derive(Default)]
struct State {
    open: Vec<Open>,
    /// Threads that compute.
    busy: usize,
    /// Those of them that leave at once when they must.
    quick: usize,
    ended: bool,
}

/// A job that others may join.
struct Open {
    job: Arc<Job>,
    /// By number, whether somebody has it; the owner has the first.
    taken: Vec<bool>,
}

impl Open {
    /// The lowest free number below `share` that has something to do.
    fn place(&self, share: usize) -> Option<usize> {
        self.free(share).next()
    }

    fn free(&self, share: usize) -> impl Iterator<Item = usize> {
        let numbers = self.taken.iter().enumerate().take(share);
        numbers.filter(|(number, taken)| !**taken && self.job.wants(*number)).map(|(number, _)| number)
    }
}

impl State {
    /// A place for one more helper, which is taken with it.
    fn join(&mut self, shared: &Shared) -> Option<(Arc<Job>, usize)> {
        if self.busy >= shared.threads {
            return None;
        }
        let share = shared.share();
        let (open, number) = self.open.iter_mut().find_map(|open| {
            let number = open.place(share)?;
            Some((open, number))
        })?;
        if let Some(taken) = open.taken.get_mut(number) {
            *taken = true;
        }
        self.busy += 1;
        self.quick += usize::from(!open.job.leads(number));
        Some((Arc::clone(&open.job), number))
    }

    /// Gives a place back. The job may be closed by now.
    fn leave(&mut self, job: &Arc<Job>, number: usize) {
        let open = self.open.iter_mut().find(|open| Arc::ptr_eq(&open.job, job));
        if let Some(taken) = open.and_then(|open| open.taken.get_mut(number)) {
            *taken = false;
        }
        self.busy -= 1;
        self.quick -= usize::from(!job.leads(number));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Threads that each encoder has now; at least one.
    fn share(&self) -> usize {
        (self.threads / self.working.load(Ordering::Relaxed).max(1)).max(1)
    }

    /// Wakes as many helpers as there are places for.
    fn call(&self, state: &State) {
        let share = self.share();
        let places: usize = state.open.iter().map(|open| open.free(share).count()).sum();
        for _ in 0..places.min(self.threads.saturating_sub(state.busy)) {
            self.called.notify_one();
        }
    }
}

impl Crew {
    /// Of so many threads, at least one; an encoder brings the first itself.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            threads: threads.max(1),
            working: AtomicUsize::new(0),
            state: Mutex::default(),
            called: Condvar::new(),
            room: Condvar::new(),
        });
        // If one cannot be had, those before it end with this.
        let mut crew = Self { shared, helpers: Vec::new() };
        for number in 1..crew.threads() {
            let shared = Arc::clone(&crew.shared);
            let thread = std::thread::Builder::new().name(format!("rhumb-encode-{number}"));
            crew.helpers.push(thread.spawn(move || serve(&shared))?);
        }
        Ok(crew)
    }

    /// All threads.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// An encoder begins to compute, as soon as there is room; it is done when this goes.
    pub fn begin(&self) -> Work<'_> {
        let shared = &*self.shared;
        // Helpers look at this, and leave.
        shared.working.fetch_add(1, Ordering::Relaxed);
        let mut state = shared.lock();
        // Whoever computes a whole group is not waited for: sharing the core with him is better.
        while state.busy >= shared.threads && state.quick > 0 {
            state = shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.busy += 1;
        Work(shared)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.called.notify_all();
        for helper in self.helpers.drain(..) {
            // Jobs catch their panics, so there is nothing to hear.
            let _ = helper.join();
        }
    }
}

/// A helper's life.
fn serve(shared: &Shared) {
    step_back();
    let mut state = shared.lock();
    while !state.ended {
        let Some((job, number)) = state.join(shared) else {
            state = shared.called.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        job.take_part(number, || number < shared.share());
        state = shared.lock();
        state.leave(&job, number);
        shared.room.notify_one();
    }
}

/// An encoder at work.
pub struct Work<'a>(&'a Shared);

impl Work<'_> {
    /// Threads that it has now; at least one.
    pub fn share(&self) -> usize {
        self.0.share()
    }

    /// Has groups computed, here and by helpers, in teams of `members`. Returns when all are done.
    ///
    /// # Panics
    /// If a group panicked.
    #[allow(unsafe_code, reason = "the work is borrowed by threads that outlive it")]
    pub fn run(&self, groups: usize, members: usize, each: &Each<'_>) {
        let shared = self.0;
        let teams = groups.min(shared.threads / members.max(1));
        // SAFETY: nothing below panics before `finish`: jobs catch the panics of their groups.
        let job = Arc::new(unsafe { Job::new(groups, teams, members, each) });
        let places = job.places().min(shared.threads);
        if places > 1 {
            let mut taken = vec![false; places];
            taken.iter_mut().take(1).for_each(|owner| *owner = true);
            let mut state = shared.lock();
            state.open.push(Open { job: Arc::clone(&job), taken });
            shared.call(&state);
        }
        job.take_part(0, || true);
        if places > 1 {
            shared.lock().open.retain(|open| !Arc::ptr_eq(&open.job, &job));
        }
        job.finish();
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.busy -= 1;
        self.0.working.fetch_sub(1, Ordering::Relaxed);
        self.0.room.notify_one();
        self.0.call(&state);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::encoder::cpu::team::Team;

    #[test]
    fn who_computes_alone_has_all_threads_and_others_get_their_share_at_once() {
        let crew = Crew::new(4).unwrap();
        let one = crew.begin();
        assert_eq!(one.share(), 4);
        let (two, three) = (crew.begin(), crew.begin());
        assert_eq!((one.share(), two.share(), three.share()), (1, 1, 1));
        drop((two, three));
        assert_eq!(one.share(), 4);
    }

    #[test]
    fn there_are_never_more_encoders_than_threads() {
        for threads in 1..=128 {
            assert!((1..=threads).contains(&seats(threads)), "{threads}");
        }
        assert_eq!([1, 2, 4, 8, 64].map(seats), [1, 2, 2, 4, 4]);
    }

    #[test]
    fn every_chunk_of_every_group_is_done_once_while_others_begin_and_end() {
        let crew = Crew::new(4).unwrap();
        let rounds = |members: usize| {
            for round in 0..200 {
                let groups = 1 + round % 5;
                let counts: Vec<AtomicUsize> = (0..groups * 40).map(|_| AtomicUsize::new(0)).collect();
                crew.begin().run(groups, members, &|group, team: &Team| {
                    team.stage(40, &|chunk| {
                        counts[group * 40 + chunk].fetch_add(1, Ordering::Relaxed);
                    });
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        };
        std::thread::scope(|scope| {
            for members in [1, 2, 4] {
                let rounds = &rounds;
                scope.spawn(move || rounds(members));
            }
        });
        let state = crew.shared.lock();
        assert!(state.open.is_empty(), "a job was left");
        drop(state);
        let deadline = Instant::now() + Duration::from_secs(10);
        while crew.shared.lock().busy > 0 {
            assert!(Instant::now() < deadline, "a helper did not leave");
        }
    }

    /// One group, computed in small chunks until `enough` holds.
    fn until(work: &Work<'_>, enough: &(dyn Fn() -> bool + Sync)) {
        work.run(1, 2, &|_, team: &Team| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !enough() {
                assert!(Instant::now() < deadline, "waited in vain");
                team.stage(8, &|_| std::thread::park_timeout(Duration::from_micros(20)));
            }
        });
    }

    #[test]
    fn a_helper_comes_leaves_when_another_encoder_begins_and_comes_back() {
        let crew = Crew::new(2).unwrap();
        let helpers = || crew.shared.lock().quick;
        let one = crew.begin();
        until(&one, &|| helpers() == 1);
        std::thread::scope(|scope| {
            scope.spawn(|| until(&one, &|| crew.shared.working.load(Ordering::Relaxed) == 3));
            while helpers() == 0 {
                std::thread::yield_now();
            }
            // The second waits for the helper, and finds room.
            let two = crew.begin();
            assert_eq!(helpers(), 0);
            drop(two);
            // A text that was begun on one thread gets the other when it is free.
            while helpers() == 0 {
                std::thread::yield_now();
            }
            crew.shared.working.fetch_add(2, Ordering::Relaxed);
        });
        crew.shared.working.fetch_sub(2, Ordering::Relaxed);
    }

    #[test]
    fn a_panic_reaches_the_owner_and_the_threads_live_on() {
        let crew = Crew::new(3).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            crew.begin()
                .run(1, 2, &|_, team: &Team| team.stage(8, &|i| assert!(i != 5, "as the test asked")));
        }));
        assert!(result.is_err());
        let done = AtomicUsize::new(0);
        crew.begin().run(7, 1, &|_, _: &Team| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 7);
    }
}
