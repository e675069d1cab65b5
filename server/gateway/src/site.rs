//! What a decision depends on besides the engine.

use std::sync::Arc;

use rhumb_ledger::intent::config::IntentConfig;
use rhumb_ledger::intent::registry::Registry;
use rhumb_ledger::{Keys, Ledger, LedgerError};
use tokio::sync::Semaphore;

use crate::flights::Flights;
use crate::live::Live;
use crate::policy::PolicyHandle;
use crate::replays::Replays;
use crate::tools::Tools;

/// KiB of bodies that are held at once: read, each is many times as large.
const BODIES_KB: usize = 64 << 10;

/// What a decision depends on besides the engine.
pub struct Site {
    /// Intents and decisions.
    pub ledger: Ledger,
    /// Decides about intents.
    pub registry: Registry,
    /// Chains that are under way.
    pub live: Live,
    /// What the operator says about actions.
    pub policy: PolicyHandle,
    /// What tools say of themselves.
    pub tools: Tools,
    /// What is being decided about.
    pub(crate) flights: Flights,
    /// What was decided about of late.
    pub(crate) replays: Replays,
    /// KiB of bodies that are read and decided about at once.
    pub(crate) bodies: Semaphore,
}

impl Site {
    /// A site that keeps nothing on disk: intents and chains live as long as it does.
    ///
    /// # Errors
    /// If the system has no randomness or no thread.
    pub fn in_memory(
        config: IntentConfig,
        policy: PolicyHandle,
        chain_megabytes: u64,
    ) -> Result<Self, LedgerError> {
        let keys = Arc::new(Keys::ephemeral()?);
        let ledger = Ledger::in_memory(Arc::clone(&keys))?;
        Self::new(ledger, config, keys, policy, chain_megabytes)
    }

    /// A site on a ledger.
    ///
    /// # Errors
    /// If the configuration of the intents cannot be used.
    pub fn new(
        ledger: Ledger,
        config: IntentConfig,
        keys: Arc<Keys>,
        policy: PolicyHandle,
        chain_megabytes: u64,
    ) -> Result<Self, LedgerError> {
        let live = Live::new(chain_megabytes, ledger.clone());
        let replays = Replays::within(config.replay_window_s);
        Ok(Self {
            registry: Registry::new(config, keys)?,
            ledger,
            live,
            policy,
            tools: Tools::default(),
            flights: Flights::default(),
            replays,
            bodies: Semaphore::new(BODIES_KB),
        })
    }
}
