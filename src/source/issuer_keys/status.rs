//! What is known of the keys of each wanted issuer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

/// What is known of the keys of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IssuerStatus {
    /// The issuer.
    pub iss: String,
    /// The ids of the keys in use; `None` if there are no keys. A key without an id is not shown.
    pub keys: Option<Vec<String>>,
    /// How many keys are in use, with or without an id.
    pub usable: usize,
    /// When the keys in use were last confirmed.
    pub fetched_at: Option<Timestamp>,
    /// When the next fetch is planned.
    pub next_refresh: Option<Timestamp>,
    /// What the last fetch failed with, if it failed.
    pub last_error: Option<String>,
    /// How many fetches have ended.
    pub fetches: u64,
    /// How many of them failed.
    pub failed_fetches: u64,
}

/// The wanted issuers, by `iss`.
#[derive(Debug, Default)]
pub(super) struct Entries(Mutex<BTreeMap<String, Entry>>);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) status: IssuerStatus,
    /// Told when a token asked for a key that is not held.
    pub(super) hint: Arc<Notify>,
}

// === impl IssuerStatus ===

impl IssuerStatus {
    /// How long ago the keys were last confirmed.
    pub fn age(&self) -> Option<Duration> {
        let age = Timestamp::now().duration_since(self.fetched_at?);
        // Another clock reading may be earlier.
        Some(Duration::try_from(age).unwrap_or_default())
    }
}

// === impl Entries ===

impl Entries {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, iss: &str) -> Arc<Notify> {
        let hint = Arc::new(Notify::new());
        let status = IssuerStatus { iss: iss.to_owned(), ..IssuerStatus::default() };
        self.lock().insert(iss.to_owned(), Entry { status, hint: hint.clone() });
        hint
    }

    pub(super) fn update(&self, iss: &str, change: impl FnOnce(&mut IssuerStatus)) {
        if let Some(entry) = self.lock().get_mut(iss) {
            change(&mut entry.status);
        }
    }
}
