//! Keys of fixed length for what has names of any length.

use sha2::{Digest as _, Sha256};

/// A digest of names.
pub type Key = [u8; 32];

/// The key of these names, of which none can be mistaken for another's end.
pub fn key<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Key {
    let mut digest = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}
