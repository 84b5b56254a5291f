//! The gateway's own basic-auth credentials.

use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::token::limit::network;

/// Names of the files in a mounted `basic-auth` Secret.
const USER_FILE: &str = "basic-auth-user";
const PASSWORD_FILE: &str = "basic-auth-password";

/// Failed tries of Basic credentials that one client has in a minute. An IPv6 client counts by its
/// /64, from which it can choose any address.
const TRIES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// How many clients are remembered for it; beyond them, tries are refused until the window is over.
const CLIENTS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// The credentials, as they stand on disk now.
pub struct GatewayCredentials {
    directory: PathBuf,
    current: ArcSwap<Credentials>,
    failures: Mutex<Failures>,
}

struct Credentials {
    user: String,
    /// What the gateway is sent: `Basic …`.
    authorization: String,
    /// SHA-256 of the encoded credentials, so that a comparison tells nothing about their length.
    digest: digest::Digest,
}

/// Failed tries by client in the current window.
struct Failures {
    since: Instant,
    by_client: std::collections::HashMap<Option<IpAddr>, u32>,
}

// === impl GatewayCredentials ===

impl GatewayCredentials {
    /// Reads the files `basic-auth-user` and `basic-auth-password` of a directory.
    ///
    /// # Errors
    /// A file cannot be read, or is empty.
    pub fn load(directory: &Path) -> io::Result<Self> {
        let current = ArcSwap::from_pointee(Credentials::load(directory)?);
        let failures = Failures { since: Instant::now(), by_client: std::collections::HashMap::new() };
        Ok(Self { directory: directory.to_owned(), current, failures: Mutex::new(failures) })
    }

    /// Reads the files again. What was read before stays where they cannot be read.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn reload(&self) -> io::Result<()> {
        self.current.store(Arc::new(Credentials::load(&self.directory)?));
        Ok(())
    }

    /// The `Authorization` value that the gateway asks for.
    pub fn authorization(&self) -> String {
        self.current.load().authorization.clone()
    }

    /// The user, if `encoded` (base64 of `user:password`) are the gateway's credentials. Failed
    /// tries of a client are limited.
    pub fn verify(&self, encoded: &str, client: Option<IpAddr>) -> Option<String> {
        let client = client.map(network);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.are_too_many(client) {
            return None;
        }
        let current = self.current.load();
        let presented = digest::digest(&digest::SHA256, encoded.as_bytes());
        if verify_slices_are_equal(presented.as_ref(), current.digest.as_ref()).is_ok() {
            return Some(current.user.clone());
        }
        failures.add(client);
        None
    }
}

impl std::fmt::Debug for GatewayCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayCredentials").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Credentials {
    fn load(directory: &Path) -> io::Result<Self> {
        // Of a mounted Secret, both of one version: Kubernetes replaces them by turning this link.
        let version = std::fs::canonicalize(directory.join("..data"));
        let directory = version.as_deref().unwrap_or(directory);
        let read = |name: &str| {
            let path = directory.join(name);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            match text.trim() {
                "" => Err(io::Error::other(format!("{}: is empty", path.display()))),
                text => Ok(text.to_owned()),
            }
        };
        let (user, password) = (read(USER_FILE)?, read(PASSWORD_FILE)?);
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        let digest = digest::digest(&digest::SHA256, encoded.as_bytes());
        Ok(Self { user, authorization: format!("Basic {encoded}"), digest })
    }
}

impl Failures {
    fn are_too_many(&mut self, client: Option<IpAddr>) -> bool {
        if self.since.elapsed() > WINDOW {
            self.since = Instant::now();
            self.by_client.clear();
        }
        match self.by_client.get(&client) {
            Some(failures) => *failures >= TRIES,
            None => self.by_client.len() >= CLIENTS.get(),
        }
    }

    fn add(&mut self, client: Option<IpAddr>) {
        *self.by_client.entry(client).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> (tempfile::TempDir, GatewayCredentials) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(USER_FILE), "admin\n").unwrap();
        std::fs::write(dir.path().join(PASSWORD_FILE), "secret").unwrap();
        let credentials = GatewayCredentials::load(dir.path()).unwrap();
        (dir, credentials)
    }

    #[test]
    fn the_right_credentials_name_their_user_until_too_many_tries_failed() {
        let (_dir, credentials) = credentials();
        let right = STANDARD.encode("admin:secret");
        let client = Some(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(credentials.verify(&right, client).as_deref(), Some("admin"));
        for _ in 0..TRIES {
            assert_eq!(credentials.verify("d3Jvbmc6d3Jvbmc=", client), None);
        }
        assert_eq!(credentials.verify(&right, client), None, "the client's tries are used up");
        assert_eq!(credentials.verify(&right, None).as_deref(), Some("admin"), "others go on");
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one_client() {
        let (_dir, credentials) = credentials();
        let right = STANDARD.encode("admin:secret");
        for host in 0..u64::from(TRIES) {
            let client: IpAddr = format!("2001:db8::{host:x}").parse().unwrap();
            assert_eq!(credentials.verify("d3Jvbmc6d3Jvbmc=", Some(client)), None);
        }
        assert_eq!(credentials.verify(&right, Some("2001:db8::ffff".parse().unwrap())), None);
        let other = Some("2001:db8:0:1::1".parse().unwrap());
        assert_eq!(credentials.verify(&right, other).as_deref(), Some("admin"));
    }

    #[test]
    fn a_change_on_disk_counts_after_a_reload_and_a_missing_file_changes_nothing() {
        let (dir, credentials) = credentials();
        std::fs::write(dir.path().join(PASSWORD_FILE), "new").unwrap();
        credentials.reload().unwrap();
        assert_eq!(credentials.authorization(), format!("Basic {}", STANDARD.encode("admin:new")));
        std::fs::remove_file(dir.path().join(USER_FILE)).unwrap();
        let error = credentials.reload().unwrap_err();
        assert!(error.to_string().contains(USER_FILE), "{error}");
        assert_eq!(credentials.verify(&STANDARD.encode("admin:new"), None).as_deref(), Some("admin"));
    }
}
