//! What an encoder answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arena::Key;
use super::batch::Batch;
use super::item::{Computed, Outcome};
use super::{Queue, Reply};

impl<R, E> Queue<R, E> {
    /// Takes the encoder's answer for a batch: one for each window, in order, or why there is none. A failure costs the
    /// requests with a window in the batch, and nobody else.
    pub fn complete(&mut self, batch: Batch, answer: Result<Vec<E>, String>, now: Instant) {
        self.encoders.end(batch.encoder);
        let tokens = batch.total();
        self.counters.batches += 1;
        self.counters.windows += batch.entries.len() as u64;
        self.counters.tokens += tokens as u64;
        let took = now.saturating_duration_since(batch.taken);
        // A share of all encoders' time.
        let encoders = u32::try_from(self.encoders.count()).unwrap_or(u32::MAX).max(1);
        self.loads.add(now, took / encoders, &batch.tokens);
        let answers = match answer {
            Ok(answers) if answers.len() == batch.entries.len() => answers,
            Ok(answers) => {
                let why = format!("{} answers for {} texts", answers.len(), batch.entries.len());
                return self.fail_batch(&batch, &why);
            }
            Err(why) => return self.fail_batch(&batch, &why),
        };
        self.observe(batch.encoder, tokens, took);
        for (entry, answer) in batch.entries.iter().zip(answers) {
            let Some(item) = self.items.get_mut(entry.item) else { continue };
            if let Some(place @ None) = item.done.get_mut(entry.window) {
                *place = Some(answer);
                item.undone -= 1;
            }
            if item.undone == 0 {
                self.finish_item(entry.item, now);
            }
        }
    }

    fn finish_item(&mut self, key: Key, now: Instant) {
        let Some(item) = self.remove_item(key) else { return };
        self.counters.texts += 1;
        let windows = item.done.into_iter().flatten().collect();
        let taken = item.taken.unwrap_or(now);
        let computed = Arc::new(Computed { windows, taken, finished: now });
        for (request, index) in item.waiters {
            let Some(pending) = self.requests.get_mut(request) else { continue };
            if let Some(place @ None) = pending.results.get_mut(index) {
                *place = Some(Arc::clone(&computed));
                pending.missing -= 1;
            }
            if pending.missing == 0 {
                self.finish_request(request);
            }
        }
    }

    pub(super) fn finish_request(&mut self, key: Key) {
        let Some(request) = self.detach(key) else { return };
        self.counters.lanes.of_mut(request.lane).completed += 1;
        let texts: Vec<_> = request.results.into_iter().flatten().collect();
        let last = texts.iter().max_by_key(|text| text.finished);
        let (queue, encode) = last.map_or((Duration::ZERO, Duration::ZERO), |text| {
            // Who came when the text was in the encoder did not wait for it to get there.
            let taken = text.taken.max(request.submitted);
            (taken - request.submitted, text.finished.saturating_duration_since(taken))
        });
        self.replies.push(Reply { to: request.reply, outcome: Outcome::Done { texts, queue, encode } });
    }

    fn fail_batch(&mut self, batch: &Batch, why: &str) {
        let why: Arc<str> = why.into();
        batch.entries.iter().for_each(|entry| self.fail_item(entry.item, &why));
    }

    /// Ends everybody who waits for an item, and so the item.
    pub(super) fn fail_item(&mut self, key: Key, why: &Arc<str>) {
        let Some(item) = self.items.get(key) else { return };
        let waiters: Vec<Key> = item.waiters.iter().map(|(waiter, _)| *waiter).collect();
        waiters.into_iter().for_each(|request| self.fail(request, why));
        // It was left behind by those who waited if encoders had all of it.
        self.remove_item(key);
    }
}
