//! Who has how many threads of a processor.
//!
//! An encoder that computes alone has all of them. Where several compute at once each has its share, and gives up the rest as
//! soon as another begins: two texts side by side on a thread each are done sooner than one after the other on two, which
//! have to meet after every product.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads for which there is one more encoder.
const THREADS_OF_A_SEAT: usize = 2;
/// Encoders at most: a batch holds several texts where more come at once, and each encoder keeps threads for all of the
/// processor, most of which sleep.
const MOST_SEATS: usize = 4;

/// The threads of a processor, and who computes on them.
#[derive(Debug)]
pub struct Crew {
    threads: usize,
    working: AtomicUsize,
}

impl Crew {
    /// Of so many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), working: AtomicUsize::new(0) }
    }

    /// All threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Encoders that can compute side by side.
    pub fn seats(&self) -> usize {
        (self.threads / THREADS_OF_A_SEAT).clamp(2, MOST_SEATS).min(self.threads)
    }

    /// An encoder begins to compute; it is done when this goes.
    pub fn begin(&self) -> Work<'_> {
        self.working.fetch_add(1, Ordering::Relaxed);
        Work(self)
    }
}

/// An encoder at work.
#[derive(Debug)]
pub struct Work<'a>(&'a Crew);

impl Work<'_> {
    /// Threads that it has now; at least one.
    pub fn share(&self) -> usize {
        (self.0.threads / self.0.working.load(Ordering::Relaxed).max(1)).max(1)
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_computes_alone_has_all_threads_and_others_get_their_share_at_once() {
        let crew = Crew::new(4);
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
            let crew = Crew::new(threads);
            assert!((1..=threads).contains(&crew.seats()), "{threads}");
        }
        assert_eq!([1, 2, 4, 8, 64].map(|n| Crew::new(n).seats()), [1, 2, 2, 4, 4]);
    }
}
