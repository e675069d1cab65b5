//! A chain as people read it afterwards: a tree for the terminal, a page for the browser.
//!
//! Everything here is a pure function of [`v1::ChainTrace`](rhumb_proto::v1::ChainTrace): where the trace came from (a
//! server, a ledger, a file) is the command's business. Names and texts in a trace were written by agents, some of them
//! hostile. They reach a terminal through [`text::clean`] only, and the page as data that no parser of HTML ever sees.

pub mod marks;
pub mod page;
pub mod summary;
pub mod text;
pub mod tree;

mod lineage;
mod rows;

#[cfg(test)]
pub mod sample;
