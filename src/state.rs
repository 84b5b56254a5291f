//! The one current snapshot, and how it is replaced.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;

use crate::compile::{Bundle, Diagnostic, Federation, IssuerKeys, Snapshot, compile_with};
use crate::identity::{KeySet, WantedIssuer};
use crate::token::signer::SigningKeys;

/// What is in force at one moment, as one value: a request loads it once.
#[derive(Debug)]
pub struct Loaded {
    /// What decisions read.
    pub snapshot: Snapshot,
    /// What is wrong with the objects.
    pub diagnostics: Vec<Diagnostic>,
    /// The keys that sign new tokens; their public halves are in the snapshot.
    pub signing: Arc<SigningKeys>,
    /// When it came into force.
    pub since: SystemTime,
}

/// Holds what is in force. Readers never wait; writers replace the whole.
#[derive(Debug)]
pub struct State {
    current: ArcSwapOption<Loaded>,
    /// Set while what is in force is too old to be used.
    too_old: AtomicBool,
    inputs: Mutex<Inputs>,
    wanted: watch::Sender<Vec<WantedIssuer>>,
}

/// What the current value is made of.
#[derive(Debug)]
struct Inputs {
    own_url: String,
    federation: Federation,
    bundle: Option<Bundle>,
    keys: IssuerKeys,
    signing: Arc<SigningKeys>,
}

// === impl State ===

impl State {
    /// Nothing is in force yet.
    pub fn new(own_url: String, signing: Arc<SigningKeys>) -> Self {
        let federation = Federation::Lenient;
        let inputs = Inputs { own_url, federation, bundle: None, keys: BTreeMap::new(), signing };
        Self {
            current: ArcSwapOption::empty(),
            too_old: AtomicBool::new(false),
            inputs: Mutex::new(inputs),
            wanted: watch::Sender::new(Vec::new()),
        }
    }

    /// Says what becomes of Roles that trust too broadly.
    #[must_use]
    pub fn with_federation(self, federation: Federation) -> Self {
        self.inputs().federation = federation;
        self
    }

    /// What is in force; none before the first complete list of objects, and while that is too old.
    pub fn current(&self) -> Option<Arc<Loaded>> {
        if self.is_too_old() { None } else { self.current.load_full() }
    }

    /// Whether what was in force is too old to be used.
    pub fn is_too_old(&self) -> bool {
        self.too_old.load(Ordering::Acquire)
    }

    /// Says whether what is in force is too old to be used: nothing is in force then. True if that is
    /// new.
    pub fn set_too_old(&self, too_old: bool) -> bool {
        self.too_old.swap(too_old, Ordering::AcqRel) != too_old
    }

    /// The issuers whose keys are wanted, as they change.
    pub fn wanted(&self) -> watch::Receiver<Vec<WantedIssuer>> {
        self.wanted.subscribe()
    }

    /// Replaces all objects. True if anything changed.
    pub fn publish_objects(&self, bundle: Bundle) -> bool {
        aside(|| {
            let mut inputs = self.inputs();
            if inputs.bundle.as_ref() == Some(&bundle) {
                return false;
            }
            inputs.bundle = Some(bundle);
            self.rebuild(&inputs);
            true
        })
    }

    /// Replaces the keys of one issuer; none where there are none to trust.
    pub fn publish_keys(&self, iss: String, keys: Option<Arc<KeySet>>) {
        aside(|| {
            let mut inputs = self.inputs();
            match keys {
                Some(keys) => inputs.keys.insert(iss, keys),
                None => inputs.keys.remove(&iss),
            };
            self.rebuild(&inputs);
        });
    }

    /// Replaces our own keys.
    pub fn publish_signing(&self, signing: Arc<SigningKeys>) {
        aside(|| {
            let mut inputs = self.inputs();
            inputs.signing = signing;
            self.rebuild(&inputs);
        });
    }

    fn rebuild(&self, inputs: &Inputs) {
        let Some(bundle) = &inputs.bundle else { return };
        let own = inputs.signing.issuer(&*inputs.own_url);
        let (snapshot, diagnostics) = compile_with(bundle, &inputs.keys, &own, inputs.federation);
        let wanted = snapshot.issuers.wanted();
        let (signing, since) = (Arc::clone(&inputs.signing), SystemTime::now());
        self.current.store(Some(Arc::new(Loaded { snapshot, diagnostics, signing, since })));
        self.wanted.send_if_modified(|current| {
            let changed = *current != wanted;
            *current = wanted;
            changed
        });
    }

    /// Every writer replaces a field as a whole, so inputs are sound even after a panic.
    fn inputs(&self) -> MutexGuard<'_, Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what takes long with many objects. Where tasks share threads, those that answer requests go on
/// on another one meanwhile.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
