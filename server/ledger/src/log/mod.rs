//! The log: the truth of the ledger, as text files that an auditor reads without any program of ours.
//!
//! `log/00000001.log`, `log/00000002.log`, ... hold one record a line: 64 lower-case hexadecimal digits, a space,
//! JSON, a line feed. The digits are SHA-256 over the 32 bytes of the digest of the line before (32 zero bytes
//! before the first record of all) followed by the JSON, byte by byte. The chain goes on across files, `seq` counts
//! from 1 without gaps. So the digest of one line vouches for all lines before it, and every byte is covered:
//!
//! ```python
//! import hashlib, glob
//! digest, seq = bytes(32), 0
//! for path in sorted(glob.glob("log/*.log")):
//!     for line in open(path, "rb"):
//!         stated, json = line[:64], line[65:-1]
//!         digest = hashlib.sha256(digest + json).digest()
//!         seq += 1
//!         assert stated == digest.hex().encode() and line[64:65] == b" " and line[-1:] == b"\n", (path, seq)
//!         assert json.startswith(b'{"seq":%d,' % seq), (path, seq)
//! print(seq, digest.hex())
//! ```
//!
//! After retention the first files are gone; then the digest to begin with is that of the last `retired` record
//! whose `through` is the number before the first record there is.
//!
//! `log/HEAD` says, signed, how far the log goes (see [`head`]). It is written after the log and before anything is
//! acknowledged, so a log that ends before its head was cut off, and no crash. It need not be brought to the disk
//! each time: where an acknowledged record must survive the loss of power, each group of records ends with a signed
//! checkpoint. What follows the last signature, of head or checkpoint, was acknowledged to nobody; a digest alone
//! everybody can compute, so the next start cuts it off. Only what no server had synced can be cut off then
//! without a trace, and `verify` can be told a head from elsewhere to close even that gap.
//!
//! A copy for safekeeping takes `HEAD` first, then the files: a head must not be newer than the log beside it.

pub mod append;
pub mod disk;
pub mod head;
pub mod line;
pub mod lines;
pub mod lookahead;
pub mod place;
pub mod scan;
pub mod signed;

pub use append::Log;
pub use disk::{Disk, Files, Nowhere};
pub use head::Head;
pub use line::{Digest, Frame, hex, unhex};
pub use place::{Place, Position};
pub use scan::{End, Scan};
pub use signed::Signed;
