//! The load generator.
//!
//! **Open loop.** A schedule says when each request is to be sent, and it is sent then, whatever became of the earlier
//! ones. Latency counts from that *intended* time. A generator that waits for answers, or that forgives its own delays,
//! sends less while the server is slow and so leaves out just the samples that matter (coordinated omission). What the
//! generator itself was late by is reported beside the latencies: where it is not small against them, the generator was
//! the bottleneck and the run says nothing about the server.
//!
//! **Little CPU.** The server under load is on the same machine, so one thread sends and receives, and another, the
//! pacer, builds each request ahead, sleeps until shortly before it is due and spins for the rest.
//!
//! **Accounting.** Every scheduled request ends in one place: `scheduled = sent + overflow`, and
//! `sent = ok + late + refused + expired + failed + unanswered`. *Accepted* is what the server took in: `ok`, `late` and
//! `expired`; an expired call is one that was taken in and not answered in time, not a refusal.

pub mod address;
pub mod args;
pub mod call;
pub mod closed;
pub mod error;
pub mod histogram;
pub mod memory;
pub mod open;
pub mod pace;
pub mod plan;
pub mod process;
pub mod record;
pub mod report;
pub mod run;
pub mod schedule;
pub mod server;
pub mod stream;
pub mod workload;
