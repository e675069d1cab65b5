//! The policy in force, which may be replaced while requests are under way.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Base, Policies, PolicyError};

/// The policy in force. Cheap to clone; all clones change together.
#[derive(Debug, Clone)]
pub struct PolicyHandle {
    now: Arc<RwLock<Arc<Policies>>>,
    path: Option<PathBuf>,
    base: Base,
}

impl PolicyHandle {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// As [`Policies::load`].
    pub fn open(path: Option<PathBuf>, base: Base) -> Result<Self, PolicyError> {
        let policies = match &path {
            Some(path) => Policies::load(path, base.clone())?,
            None => Policies::of(base.clone()),
        };
        Ok(Self { now: Arc::new(RwLock::new(Arc::new(policies))), path, base })
    }

    /// What the configuration says, without a file.
    pub fn of(base: Base) -> Self {
        let policies = Arc::new(Policies::of(base.clone()));
        Self { now: Arc::new(RwLock::new(policies)), path: None, base }
    }

    /// The policy for a request that begins now. A request keeps what it began with.
    pub fn now(&self) -> Arc<Policies> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again; what is in force stays so where it cannot be used.
    ///
    /// # Errors
    /// As [`Policies::load`].
    pub fn reload(&self) -> Result<Arc<Policies>, PolicyError> {
        let Some(path) = &self.path else { return Ok(self.now()) };
        let read = Arc::new(Policies::load(path, self.base.clone())?);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&read);
        Ok(read)
    }
}
