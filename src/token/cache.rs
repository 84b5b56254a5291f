//! Remembers which of our own tokens were proven, so that a token is proven once and not for every
//! request that it makes.
//!
//! Only what never changes is remembered. Times, issuers and our own keys are those of the request:
//! an expired token, a removed issuer and a withdrawn key end what they admitted at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::identity::{Issuers, OwnIssuer, OwnToken, ProvenToken, TokenRejection, TokenVerifier, prove_own};

/// What an entry takes beside the token's own size: its key, and its place in the cache.
const ENTRY: usize = 160;

/// What most entries take; it shapes the inside of the cache and bounds nothing.
const USUAL: usize = 4096;

/// The digest of a whole compact token, signature included.
type Key = [u8; 32];

/// Verifies tokens of our own, from memory where it can. Readers do not wait for each other.
pub struct TokenCache {
    /// None if nothing is to be remembered.
    proven: Option<Cache<Key, Arc<ProvenToken>, Bytes>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How much a [`TokenCache`] was of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheFigures {
    /// Tokens that were found.
    pub hits: u64,
    /// Tokens that were not, valid or not.
    pub misses: u64,
    /// Tokens that are held.
    pub entries: u64,
    /// The memory that they take, in bytes.
    pub bytes: u64,
}

#[derive(Clone)]
struct Bytes;

// === impl TokenCache ===

impl TokenCache {
    /// A cache of at most so many bytes; with 0 every token is verified in full, every time.
    pub fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes).unwrap_or(usize::MAX) / USUAL;
        let options = OptionsBuilder::new().estimated_items_capacity(items).weight_capacity(bytes).build();
        let proven = options.ok().filter(|_| bytes > 0).map(|options| {
            Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default())
        });
        Self { proven, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// What it did so far, and what it holds.
    pub fn figures(&self) -> CacheFigures {
        let (entries, bytes) =
            self.proven.as_ref().map_or((0, 0), |proven| (proven.len() as u64, proven.weight()));
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheFigures { hits: count(&self.hits), misses: count(&self.misses), entries, bytes }
    }
}

impl TokenVerifier for TokenCache {
    fn verify_own(
        &self,
        token: &str,
        own: &OwnIssuer,
        issuers: &Issuers,
        now: i64,
    ) -> Result<OwnToken, TokenRejection> {
        let Some(cache) = &self.proven else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return prove_own(token, own, now)?.admit(issuers, now);
        };
        let key = key(token);
        if let Some(proven) = cache.get(&key) {
            if proven.holds_under(own) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return proven.admit(issuers, now).inspect_err(|_| forget(cache, &key));
            }
            forget(cache, &key);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let proven = prove_own(token, own, now)?;
        let admitted = proven.admit(issuers, now)?;
        cache.insert(key, Arc::new(proven));
        Ok(admitted)
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenCache").field(&self.figures()).finish()
    }
}

impl Weighter<Key, Arc<ProvenToken>> for Bytes {
    fn weight(&self, _: &Key, proven: &Arc<ProvenToken>) -> u64 {
        (proven.size() + ENTRY) as u64
    }
}

fn forget(cache: &Cache<Key, Arc<ProvenToken>, Bytes>, key: &Key) {
    cache.remove(key);
}

fn key(token: &str) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests;
