//! How often one client may ask for a token.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most clients that are kept apart. Beyond it, new ones share one allowance.
const MAX_CLIENTS: usize = 16 * 1024;

/// A limit for each client address: so many requests a second, and so many at once.
///
/// An IPv6 client counts by its /64. All clients without a known address count as one.
#[derive(Debug)]
pub struct RateLimit {
    /// The time that one request uses up.
    interval: Duration,
    /// How far ahead of the clock a client may be.
    tolerance: Duration,
    /// By client: when its allowance is whole again. One that is whole already is not kept for long.
    whole_at: Mutex<BTreeMap<Option<IpAddr>, Instant>>,
}

// === impl RateLimit ===

impl RateLimit {
    /// `rate` requests a second, and `burst` at once; zero counts as one.
    pub fn new(rate: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / rate.max(1);
        let tolerance = interval * burst.max(1).saturating_sub(1);
        Self { interval, tolerance, whole_at: Mutex::default() }
    }

    /// Counts one request of `client` at `now`.
    ///
    /// # Errors
    /// How long the client must wait; the request is then not counted.
    pub fn admit(&self, client: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let mut clients = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = client.map(network);
        if !clients.contains_key(&client) && clients.len() >= MAX_CLIENTS {
            clients.retain(|_, whole_at| *whole_at > now);
            if clients.len() >= MAX_CLIENTS {
                client = None;
            }
        }
        let whole_at = clients.get(&client).copied().unwrap_or(now).max(now);
        let wait = whole_at.duration_since(now).saturating_sub(self.tolerance);
        if !wait.is_zero() {
            return Err(wait);
        }
        clients.insert(client, whole_at + self.interval);
        Ok(())
    }
}

impl Default for RateLimit {
    /// 10 a second, and 100 at once.
    fn default() -> Self {
        Self::new(10, 100)
    }
}

/// What one client can be told apart by: its address, or for IPv6 the /64 that it can choose from.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rate_holds() {
        let (limit, start) = (RateLimit::default(), Instant::now());
        let a = client("192.0.2.1");
        for _ in 0..100 {
            assert_eq!(limit.admit(a, start), Ok(()));
        }
        assert_eq!(limit.admit(a, start), Err(Duration::from_millis(100)));
        let soon = start + Duration::from_millis(99);
        assert_eq!(limit.admit(a, soon), Err(Duration::from_millis(1)), "a refusal is not counted");
        assert_eq!(limit.admit(a, start + Duration::from_millis(100)), Ok(()));
        assert!(limit.admit(a, start + Duration::from_millis(100)).is_err());
        assert_eq!(limit.admit(client("192.0.2.2"), start), Ok(()), "others are not concerned");
        let later = start + Duration::from_secs(60);
        let admitted = (0..200).filter(|_| limit.admit(a, later).is_ok()).count();
        assert_eq!(admitted, 100);
    }

    #[test]
    fn ipv6_clients_count_by_their_network() {
        let (limit, now) = (RateLimit::new(1, 1), Instant::now());
        assert_eq!(limit.admit(client("2001:db8::1"), now), Ok(()));
        assert!(limit.admit(client("2001:db8::ffff:2"), now).is_err());
        assert_eq!(limit.admit(client("2001:db8:0:1::1"), now), Ok(()));
        assert_eq!(limit.admit(client("192.0.2.1"), now), Ok(()));
        assert!(limit.admit(client("::ffff:192.0.2.1"), now).is_err());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (limit, now) = (RateLimit::new(1, 1), Instant::now());
        let address = |index: usize| Some(IpAddr::from((index as u32).to_be_bytes()));
        for index in 0..MAX_CLIENTS {
            assert_eq!(limit.admit(address(index), now), Ok(()));
        }
        assert_eq!(limit.admit(address(MAX_CLIENTS), now), Ok(()), "the shared allowance");
        assert!(limit.admit(address(MAX_CLIENTS + 1), now).is_err());
        let later = now + Duration::from_secs(2);
        assert_eq!(limit.admit(address(MAX_CLIENTS + 2), later), Ok(()));
        assert_eq!(limit.whole_at.lock().unwrap().len(), 1);
    }
}
