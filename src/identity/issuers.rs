//! The issuers that are trusted, and our own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use super::keys::KeySet;

/// One registration of an issuer: one object, with what it adds to the issuer's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// The name of the object. Among several registrations of one issuer the first name wins.
    pub name: String,
    /// The audiences that are accepted, exact and non-empty texts.
    pub audiences: Vec<String>,
    /// How long a token that was exchanged under this registration lives.
    pub token_lifetime: Duration,
}

/// An issuer whose keys must be fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedIssuer {
    /// The `iss`, byte for byte.
    pub iss: String,
    /// The base URL that replaces `iss` for fetching.
    pub internal: Option<String>,
}

/// Every registered issuer by its `iss`, with the keys that are held of it.
#[derive(Debug, Clone, Default)]
pub struct Issuers {
    own_url: String,
    by_iss: BTreeMap<String, Registered>,
}

/// What is known of one `iss`.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    /// Sorted by object name, never empty.
    registrations: Vec<Arc<TrustedIssuer>>,
    internal: Option<String>,
    keys: Option<Arc<KeySet>>,
}

/// This service as an issuer of tokens.
#[derive(Debug, Clone)]
pub struct OwnIssuer {
    url: String,
    keys: Arc<KeySet>,
    fingerprint: [u8; 32],
}

// === impl TrustedIssuer ===

impl TrustedIssuer {
    fn accepts(&self, audience: &[&str]) -> bool {
        self.audiences.iter().any(|accepted| audience.contains(&accepted.as_str()))
    }
}

// === impl Issuers ===

impl Issuers {
    /// No issuers, for a service that itself is `own_url`.
    pub fn new(own_url: impl Into<String>) -> Self {
        Self { own_url: own_url.into(), by_iss: BTreeMap::new() }
    }

    /// Registers `iss`, in place of all earlier registrations of it. All registrations of one
    /// issuer come at once, since they share its keys and so must agree on `internal`.
    ///
    /// Our own URL may be registered. It is never fetched and admits nothing by itself. An empty
    /// list of registrations registers nothing.
    pub fn register(
        &mut self,
        iss: impl Into<String>,
        internal: Option<String>,
        registrations: impl IntoIterator<Item = TrustedIssuer>,
    ) {
        let iss = iss.into();
        let mut registrations: Vec<_> = registrations.into_iter().map(Arc::new).collect();
        registrations.sort_by(|a, b| a.name.cmp(&b.name));
        if registrations.is_empty() {
            self.by_iss.remove(&iss);
        } else {
            self.by_iss.insert(iss, Registered { registrations, internal, keys: None });
        }
    }

    /// Replaces the keys that are held of a registered issuer; of any other, does nothing. Keys under
    /// our own URL are never looked at.
    pub fn set_keys(&mut self, iss: &str, keys: Option<Arc<KeySet>>) {
        if let Some(registered) = self.by_iss.get_mut(iss) {
            registered.keys = keys;
        }
    }

    /// The URL of this service as an issuer.
    pub fn own_url(&self) -> &str {
        &self.own_url
    }

    /// The issuers whose keys must be fetched, sorted: every registered one but our own.
    pub fn wanted(&self) -> Vec<WantedIssuer> {
        self.foreign()
            .map(|(iss, registered)| WantedIssuer {
                iss: iss.to_owned(),
                internal: registered.internal.clone(),
            })
            .collect()
    }

    /// The names of the registrations of an issuer, sorted; none for our own.
    pub fn names(&self, iss: &str) -> impl Iterator<Item = &str> {
        let registrations = self.get(iss).map_or(&[][..], |registered| &registered.registrations);
        registrations.iter().map(|registration| registration.name.as_str())
    }

    /// The issuers of which no keys are held, sorted.
    pub fn without_keys(&self) -> Vec<&str> {
        self.foreign().filter(|(_, registered)| registered.keys.is_none()).map(|(iss, _)| iss).collect()
    }

    /// The registered issuer with exactly this `iss`; our own is none.
    pub(super) fn get(&self, iss: &str) -> Option<&Registered> {
        self.by_iss.get(iss).filter(|_| iss != self.own_url)
    }

    fn foreign(&self) -> impl Iterator<Item = (&str, &Registered)> {
        self.by_iss
            .iter()
            .filter(|(iss, _)| **iss != self.own_url)
            .map(|(iss, registered)| (iss.as_str(), registered))
    }
}

// === impl Registered ===

impl Registered {
    /// The first registration by name that accepts one of `audience`.
    pub(super) fn accepting(&self, audience: &[&str]) -> Option<&Arc<TrustedIssuer>> {
        self.registrations.iter().find(|registration| registration.accepts(audience))
    }

    pub(super) fn keys(&self) -> Option<&KeySet> {
        self.keys.as_deref()
    }
}

// === impl OwnIssuer ===

impl OwnIssuer {
    /// Our issuer with its public keys. A key without a `kid` is never used: ours all have one.
    pub fn new(url: impl Into<String>, keys: Arc<KeySet>) -> Self {
        let url = url.into();
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(keys.fingerprint());
        hash.update(url.as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(hash.finish().as_ref());
        Self { url, keys, fingerprint }
    }

    /// Our `iss` and `aud`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A digest of the URL and the keys: of all that a token of ours is proven by.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The keys that our tokens verify under.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(name: &str, audience: &str) -> TrustedIssuer {
        TrustedIssuer {
            name: name.into(),
            audiences: vec![audience.into()],
            token_lifetime: Duration::from_secs(60),
        }
    }

    #[test]
    fn the_first_registration_by_name_that_accepts_the_audience_is_taken() {
        let mut issuers = Issuers::new("https://gw");
        issuers.register("https://idp", None, [registration("b", "x"), registration("a", "x")]);
        let idp = issuers.get("https://idp").unwrap();
        assert_eq!(idp.accepting(&["y", "x"]).unwrap().name, "a");
        assert!(idp.accepting(&["y"]).is_none());
        assert!(idp.accepting(&[]).is_none());
    }

    #[test]
    fn our_own_url_is_accepted_but_never_fetched_and_admits_nothing() {
        let mut issuers = Issuers::new("https://gw");
        issuers.register("https://gw", None, [registration("own", "x")]);
        issuers.register("https://idp", Some("http://dex".into()), [registration("a", "x")]);
        let wanted = WantedIssuer { iss: "https://idp".into(), internal: Some("http://dex".into()) };
        assert_eq!(issuers.wanted(), [wanted]);
        assert!(issuers.get("https://gw").is_none());
        assert_eq!(issuers.without_keys(), ["https://idp"]);
        issuers.register("https://idp", None, []);
        assert!(issuers.wanted().is_empty());
    }
}
