//! The threads that compute one group together.
//!
//! The leader of a team cuts a stage of its work into chunks, and whoever of the team is there takes the next chunk. A chunk
//! computes the same bits whoever takes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

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
    fn every_chunk_of_every_stage_is_done_once() {
        let (team, over) = (Team::new(4), AtomicBool::new(false));
        let counts: Vec<AtomicUsize> = (0..40).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| team.help(|| over.load(Ordering::Relaxed)));
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
    fn a_panic_of_a_chunk_reaches_the_leader_after_the_stage() {
        let (team, over) = (Team::new(2), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| team.help(|| over.load(Ordering::Relaxed)));
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.stage(8, &|i| assert!(i != 5, "as the test asked"));
            }));
            over.store(true, Ordering::Relaxed);
            assert!(result.is_err());
        });
    }
}
