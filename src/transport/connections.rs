//! How many connections there may be, and which of them give way.
//!
//! A connection that has not made a request yet is cheap to open and proves nothing. When all places
//! are taken, the oldest of those gives way to a new one, so that somebody who only opens connections
//! cannot keep out those who use theirs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    open: usize,
    next: u64,
    /// Those without a request so far, oldest first, each with what ends it.
    silent: BTreeMap<u64, CancellationToken>,
}

/// The place of one connection; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    /// Cancelled when the connection has to give way.
    pub(super) evicted: CancellationToken,
}

/// What a connection does.
#[derive(Debug)]
pub(super) struct Activity {
    place: Place,
    opened: Instant,
    heard: AtomicBool,
    /// When a request last began or ended, in milliseconds after `opened`.
    last: AtomicU64,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

// === impl Connections ===

impl Connections {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: Mutex::default() })
    }

    /// A place for a new connection, unless all are taken by connections that are in use.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Place> {
        let mut held = self.held();
        // Those that were told to end may not have come to it yet.
        if held.open >= self.limit && (held.open >= 2 * self.limit || !held.evict()) {
            return None;
        }
        let (id, evicted) = (held.next, CancellationToken::new());
        held.next += 1;
        held.open += 1;
        held.silent.insert(id, evicted.clone());
        drop(held);
        Some(Place { connections: Arc::clone(self), id, evicted })
    }

    /// Ends the oldest connection without a request; false if there is none.
    pub(super) fn evict(&self) -> bool {
        self.held().evict()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn evict(&mut self) -> bool {
        let oldest = self.silent.pop_first();
        oldest.inspect(|(_, evicted)| evicted.cancel()).is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.connections.held();
        held.open -= 1;
        held.silent.remove(&self.id);
    }
}

// === impl Activity ===

impl Activity {
    pub(super) fn new(place: Place) -> Arc<Self> {
        Arc::new(Self {
            place,
            opened: Instant::now(),
            heard: AtomicBool::new(false),
            last: AtomicU64::new(0),
        })
    }

    /// Notes that a request begins.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        if !self.heard.swap(true, Ordering::Relaxed) {
            self.place.connections.held().silent.remove(&self.place.id);
        }
        self.note();
        UnderWay(Arc::clone(self))
    }

    fn note(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Whether there was a request at all.
    pub(super) fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Ends when no request began or ended for so long: for `first` before the first one, for `idle`
    /// after it. An answer that its client does not read keeps nothing open.
    pub(super) async fn quiet(&self, first: Duration, idle: Duration) {
        loop {
            let limit = if self.heard() { idle } else { first };
            let since = self.opened + Duration::from_millis(self.last.load(Ordering::Relaxed));
            if since + limit <= Instant::now() {
                return;
            }
            sleep_until(since + limit).await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.note();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_silent_connection_gives_way_and_one_in_use_never_does() {
        let connections = Connections::new(3);
        let [used, old, new] = [(); 3].map(|()| Activity::new(connections.admit().unwrap()));
        drop(used.begin());
        let third = connections.admit().unwrap();
        assert!(old.place.evicted.is_cancelled());
        assert!(!new.place.evicted.is_cancelled() && !used.place.evicted.is_cancelled());
        let third = Activity::new(third);
        let _busy = (new.begin(), third.begin());
        assert!(connections.admit().is_none(), "all are in use");
        drop(old);
        assert!(connections.admit().is_none(), "only its own place is free, which was taken");
        drop(used);
        assert!(connections.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_quiet_when_no_request_begins_or_ends() {
        let connections = Connections::new(1);
        let activity = Activity::new(connections.admit().unwrap());
        let (first, idle) = (Duration::from_secs(1), Duration::from_secs(10));
        let start = Instant::now();
        activity.quiet(first, idle).await;
        assert_eq!(start.elapsed(), first);
        let request = activity.begin();
        let soon = Duration::from_secs(9);
        assert!(tokio::time::timeout(soon, activity.quiet(first, idle)).await.is_err(), "it has just begun");
        drop(request);
        let start = Instant::now();
        activity.quiet(first, idle).await;
        assert_eq!(start.elapsed(), idle);
    }
}
