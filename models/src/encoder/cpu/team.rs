//! The threads of an encoder.
//!
//! The caller of [`Threads::run`] is the first of them, so one text on one thread never changes threads. The others sleep
//! between runs and join when they are awake; nobody waits for one that is not. Inside a run threads may form teams: the
//! leader of a team cuts a stage of its work into chunks, and whoever of the team is there takes the next chunk. A chunk
//! computes the same bits whoever takes it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::priority::step_back;

/// What the threads of a run do. The caller is number 0, the others are numbered as they join.
type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// Threads that sleep until there is something to run.
pub struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A run has begun, or the end.
    begun: Condvar,
    /// A thread has left a run.
    left: Condvar,
}

#[derive(Default)]
struct State {
    /// Counts runs, so that a thread joins each at most once.
    run: u64,
    task: Option<Borrowed>,
    /// Threads that may join, and those that have, the caller included.
    wanted: usize,
    joined: usize,
    active: usize,
    panicked: bool,
    ended: bool,
}

/// A task of [`Threads::run`] without its lifetime.
#[derive(Clone, Copy)]
struct Borrowed(*const Task<'static>);

// SAFETY: the task is `Sync`, and `run` keeps it alive while any thread holds this pointer.
#[allow(unsafe_code, reason = "see above")]
unsafe impl Send for Borrowed {}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Threads {
    /// `count` threads, the caller's included; at least that one.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn new(count: usize) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut threads = Self { shared: Arc::clone(&shared), handles: Vec::new() };
        for number in 1..count {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("rhumb-encode-{number}"));
            threads.handles.push(thread.spawn(move || serve(&shared))?);
        }
        Ok(threads)
    }

    /// How many there are, the caller included.
    pub fn count(&self) -> usize {
        self.handles.len() + 1
    }

    /// Runs `task` here, and on up to `wanted - 1` other threads that wake up before it has ended here. The task must
    /// complete whoever else comes. Returns when all have left.
    ///
    /// # Panics
    /// If the task panicked on any thread.
    #[allow(unsafe_code, reason = "the task is borrowed by threads that outlive it")]
    pub fn run(&self, wanted: usize, task: &Task<'_>) {
        let wanted = wanted.min(self.count());
        if wanted <= 1 {
            return task(0);
        }
        // SAFETY: only the lifetime changes. Threads reach the task through `state.task`, which is cleared below before
        // this function waits for those that hold it; it returns, or unwinds, only after that.
        let borrowed =
            Borrowed(unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task) });
        {
            let mut state = self.shared.lock();
            (state.run, state.task, state.panicked) = (state.run + 1, Some(borrowed), false);
            (state.wanted, state.joined) = (wanted, 1);
        }
        (1..wanted).for_each(|_| self.shared.begun.notify_one());
        let own = catch_unwind(AssertUnwindSafe(|| task(0)));
        let mut state = self.shared.lock();
        state.task = None;
        while state.active > 0 {
            state = self.shared.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let panicked = state.panicked;
        drop(state);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!panicked, "a thread of the encoder panicked");
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.begun.notify_all();
        for handle in self.handles.drain(..) {
            // It caught its panics, so there is nothing to hear.
            let _ = handle.join();
        }
    }
}

/// A thread's life.
#[allow(unsafe_code, reason = "calls a task that the caller of `run` lent")]
fn serve(shared: &Shared) {
    step_back();
    let mut seen = 0;
    let mut state = shared.lock();
    while !state.ended {
        let open = state.run > seen && state.joined < state.wanted;
        let Some(task) = state.task.filter(|_| open) else {
            state = shared.begun.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        seen = state.run;
        let number = state.joined;
        state.joined += 1;
        state.active += 1;
        drop(state);
        // SAFETY: `active` was raised under the lock while the task was there, so `run` still waits for this thread.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*task.0)(number) }));
        state = shared.lock();
        state.active -= 1;
        state.panicked |= result.is_err();
        shared.left.notify_all();
    }
}

/// One leader and those who help it.
pub struct Team {
    /// Members, the leader included, if all are there.
    size: usize,
    /// The stage's number in the upper half, its chunks in the next quarter, the next free chunk in the last.
    ticket: AtomicU64,
    /// The stage's work: a thin pointer to a fat one.
    work: AtomicPtr<()>,
    done: AtomicUsize,
    panicked: AtomicBool,
}

/// What a chunk of a stage does, by its number.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Chunks of a stage at most.
const MOST_CHUNKS: usize = 0xffff;
/// Looks at a flag before the processor is offered to others: some ten microseconds.
const SPINS: u32 = 2000;

impl Team {
    /// Of `size` members at most.
    pub fn new(size: usize) -> Self {
        Self {
            size: size.max(1),
            ticket: AtomicU64::new(0),
            work: AtomicPtr::new(ptr::null_mut()),
            done: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
        }
    }

    /// Members, the leader included, if all are there.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Does all `chunks` of a stage, each once, with whoever helps. Only the leader calls this.
    ///
    /// # Panics
    /// If a chunk panicked, or there are more than 65,535.
    pub fn stage(&self, chunks: usize, work: &Work<'_>) {
        if self.size == 1 || chunks == 1 {
            return (0..chunks).for_each(work);
        }
        assert!(chunks <= MOST_CHUNKS, "a stage has at most {MOST_CHUNKS} chunks");
        let stage = (self.ticket.load(Ordering::Relaxed) >> 32) + 1;
        self.done.store(0, Ordering::Relaxed);
        self.work.store(ptr::from_ref(&work).cast_mut().cast(), Ordering::Relaxed);
        // Publishes the two stores above to whoever takes a ticket of this stage.
        self.ticket.store((stage << 32) | ((chunks as u64) << 16), Ordering::Release);
        while self.take_one() {}
        let mut spins = 0;
        while self.done.load(Ordering::Acquire) < chunks {
            relax(&mut spins);
        }
        assert!(!self.panicked.load(Ordering::Relaxed), "a thread of the encoder panicked");
    }

    /// Helps with every stage until `over`.
    pub fn help(&self, over: impl Fn() -> bool) {
        let mut spins = 0;
        while !over() {
            if self.take_one() {
                spins = 0;
            } else {
                relax(&mut spins);
            }
        }
    }

    /// Takes and does the next chunk of the present stage, if there is one.
    #[allow(unsafe_code, reason = "calls work that the leader lent")]
    fn take_one(&self) -> bool {
        let ticket = self.ticket.load(Ordering::Acquire);
        let (chunks, next) = ((ticket >> 16) & 0xffff, ticket & 0xffff);
        if next >= chunks {
            return false;
        }
        let taken = self.ticket.compare_exchange(ticket, ticket + 1, Ordering::AcqRel, Ordering::Relaxed);
        if taken.is_err() {
            return true;
        }
        let work = self.work.load(Ordering::Relaxed).cast::<&Work<'_>>();
        // SAFETY: the exchange succeeded, so the stage is the one of `ticket`, and it cannot end before `done` counts
        // this chunk; until then the leader stays in `stage`, whose frame holds the work.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*work)(next as usize) }));
        if result.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.done.fetch_add(1, Ordering::Release);
        true
    }
}

fn relax(spins: &mut u32) {
    *spins += 1;
    if *spins < SPINS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_completes_whoever_joins() {
        for count in [1, 2, 5] {
            let threads = Threads::new(count).unwrap();
            assert_eq!(threads.count(), count);
            for _ in 0..200 {
                let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
                threads.run(count, &|_| {
                    while next.fetch_add(1, Ordering::Relaxed) < 7 {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert_eq!(done.load(Ordering::Relaxed), 7);
            }
        }
    }

    #[test]
    fn every_chunk_of_every_stage_is_done_once() {
        let threads = Threads::new(4).unwrap();
        let (team, over) = (Team::new(4), AtomicBool::new(false));
        let counts: Vec<AtomicUsize> = (0..40).map(|_| AtomicUsize::new(0)).collect();
        threads.run(4, &|thread| {
            if thread > 0 {
                return team.help(|| over.load(Ordering::Relaxed));
            }
            for stage in 1..=500 {
                let chunks = 1 + stage % 40;
                team.stage(chunks, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                let total: usize = counts.iter().map(|c| c.swap(0, Ordering::Relaxed)).sum();
                assert_eq!(total, chunks);
            }
            over.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_threads_live_on() {
        let threads = Threads::new(3).unwrap();
        let team = Team::new(3);
        let over = AtomicBool::new(false);
        let result = catch_unwind(AssertUnwindSafe(|| {
            threads.run(3, &|thread| {
                if thread > 0 {
                    return team.help(|| over.load(Ordering::Relaxed));
                }
                let stage = catch_unwind(AssertUnwindSafe(|| {
                    team.stage(8, &|i| assert!(i != 5, "as the test asked"))
                }));
                over.store(true, Ordering::Relaxed);
                stage.unwrap_or_else(|panic| resume_unwind(panic));
            });
        }));
        assert!(result.is_err());
        let done = AtomicUsize::new(0);
        threads.run(3, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert!(done.load(Ordering::Relaxed) >= 1);
    }
}
