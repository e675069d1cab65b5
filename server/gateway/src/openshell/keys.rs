//! The public keys of an OpenShell gateway: a file that is read again when it changes.
//!
//! The gateway replaces its key at once, while tokens of the old one live for up to an hour. So a key that has left the
//! file stays good for that hour; a start without it forgets it at once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rhumb_ledger::intent::keyset::{Algorithm, KeySet};

/// The longest life of a token.
const RETIRED_FOR: Duration = Duration::from_secs(3600);
/// Sets of keys that have left the file.
const RETIRED: usize = 8;
/// Between two looks at the file that unknown keys ask for: anybody can name one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keys of a file. Cheap to clone; all clones change together.
#[derive(Debug, Clone)]
pub struct KeyFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    sets: RwLock<Sets>,
    looked: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct Sets {
    current: Arc<KeySet>,
    retired: Vec<(Instant, Arc<KeySet>)>,
}

impl Sets {
    /// The set that has this key; the one that counts now comes first.
    fn with(&self, kid: &str, now: Instant) -> Option<Arc<KeySet>> {
        let retired = self.retired.iter().filter(|(until, _)| *until > now).map(|(_, set)| set);
        std::iter::once(&self.current).chain(retired).find(|set| set.contains(kid)).cloned()
    }

    fn replace(&mut self, read: KeySet, now: Instant) {
        if *self.current == read {
            return;
        }
        let old = std::mem::replace(&mut self.current, Arc::new(read));
        self.retired.retain(|(until, _)| *until > now);
        self.retired.insert(0, (now + RETIRED_FOR, old));
        self.retired.truncate(RETIRED);
    }
}

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// Names the file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let sets = Sets { current: Arc::new(read(path)?), retired: Vec::new() };
        let (sets, looked) = (RwLock::new(sets), Mutex::new(Instant::now()));
        Ok(Self(Arc::new(Inner { path: path.to_owned(), sets, looked })))
    }

    /// Reads the file again; what is in force stays so where it cannot be used.
    ///
    /// # Errors
    /// Names the file.
    pub fn reload(&self) -> Result<(), String> {
        let read = read(&self.0.path)?;
        self.0.sets.write().unwrap_or_else(PoisonError::into_inner).replace(read, Instant::now());
        Ok(())
    }

    /// The set that has this key. Where none has, the file is looked at again, though not for every call.
    pub async fn with(&self, kid: &str) -> Option<Arc<KeySet>> {
        let known = self.known(kid);
        if known.is_some() || !self.may_look() {
            return known;
        }
        let file = self.clone();
        match tokio::task::spawn_blocking(move || file.reload()).await {
            Ok(Ok(())) => tracing::info!("the gateway's keys were read again for one that was not known"),
            Ok(Err(error)) => tracing::error!(error, "the gateway's keys were not replaced"),
            Err(error) => tracing::error!(%error, "the gateway's keys were not replaced"),
        }
        self.known(kid)
    }

    fn known(&self, kid: &str) -> Option<Arc<KeySet>> {
        self.0.sets.read().unwrap_or_else(PoisonError::into_inner).with(kid, Instant::now())
    }

    fn may_look(&self) -> bool {
        let mut looked = self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = looked.elapsed() >= LOOK_EVERY;
        if may {
            *looked = Instant::now();
        }
        may
    }
}

fn read(path: &Path) -> Result<KeySet, String> {
    let fail = |problem: String| format!("{}: {problem}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    KeySet::parse(&text, Algorithm::EdDsa).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kid: &str, x: char) -> KeySet {
        let x = format!("{}A", x.to_string().repeat(42));
        let text = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}]}}"#);
        KeySet::parse(&text, Algorithm::EdDsa).unwrap()
    }

    #[test]
    fn a_key_that_left_the_file_is_good_for_an_hour() {
        let (mut sets, start) = (Sets::default(), Instant::now());
        sets.replace(set("a", 'A'), start);
        sets.replace(set("b", 'B'), start);
        let last = start + RETIRED_FOR - Duration::from_secs(1);
        assert!(sets.with("a", last).is_some() && sets.with("b", last).is_some());
        let later = start + RETIRED_FOR;
        assert!(sets.with("a", later).is_none() && sets.with("b", later).is_some());
        assert!(sets.with("c", start).is_none());
    }

    #[test]
    fn the_newer_key_of_an_id_counts() {
        let (mut sets, now) = (Sets::default(), Instant::now());
        sets.replace(set("a", 'A'), now);
        sets.replace(set("a", 'B'), now);
        assert_eq!(sets.with("a", now).as_deref(), Some(&set("a", 'B')));
    }

    #[test]
    fn the_same_keys_again_change_nothing() {
        let (mut sets, now) = (Sets::default(), Instant::now());
        for _ in 0..3 {
            sets.replace(set("a", 'A'), now);
        }
        assert_eq!(sets.retired.len(), 1, "that of the start");
        for n in 0..20 {
            sets.replace(set(&n.to_string(), 'A'), now);
        }
        assert_eq!(sets.retired.len(), RETIRED);
    }
}
