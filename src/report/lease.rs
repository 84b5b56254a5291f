//! A Lease (`coordination.k8s.io/v1`), so that one replica at a time writes Events.
//!
//! Clocks of replicas are not compared: a Lease has expired when it was seen unchanged for as long as
//! it says that it lasts.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::{Answer, Api};
use super::event::micro_time;
use crate::source::kubernetes::Trouble;

/// Its name.
const NAME: &str = "faas-iam-events";
/// How long it lasts without being renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How often it is renewed or, by those who do not hold it, looked at.
const RENEW: Duration = Duration::from_secs(3);
/// How long after a renewal its holder still acts: shorter than others wait.
const SURE: Duration = Duration::from_secs(10);

/// What this replica knows of it.
#[derive(Debug)]
pub(super) struct Lease {
    namespace: String,
    /// Who we are: no two processes are the same.
    me: String,
    /// When it was renewed last by us, while we hold it.
    renewed: Option<Instant>,
    looked: Option<Instant>,
    /// The version that was seen last, and since when.
    seen: Option<(String, Instant)>,
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(namespace: &str, instance: &str) -> Self {
        let me = format!("{instance}_{}", ulid::Ulid::new());
        Self { namespace: namespace.to_owned(), me, renewed: None, looked: None, seen: None }
    }

    /// Whether we hold it for sure.
    pub(super) fn is_held(&self) -> bool {
        self.renewed.is_some_and(|at| at.elapsed() < SURE)
    }

    /// Renews it, or takes it where nobody has it, when that is due. True if we hold it.
    ///
    /// # Errors
    /// The API server could not be asked. Whoever held it holds it for a while.
    pub(super) async fn look_after(&mut self, api: &Api) -> Result<bool, Trouble> {
        if self.looked.is_none_or(|at| at.elapsed() >= RENEW) {
            self.looked = Some(Instant::now());
            self.look(api).await?;
        }
        Ok(self.is_held())
    }

    async fn look(&mut self, api: &Api) -> Result<(), Trouble> {
        // What counts is when it was asked for, not when the answer came.
        let now = Instant::now();
        let answer = match api.lease(&self.namespace, NAME).await? {
            Answer::Object(lease) if self.is_free(&lease, now) => {
                api.replace_lease(&self.namespace, NAME, &self.taken(lease)).await?
            }
            Answer::Absent => {
                let metadata = json!({"namespace": self.namespace, "name": NAME});
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
                });
                api.create_lease(&self.namespace, &self.taken(lease)).await?
            }
            Answer::Object(_) | Answer::Conflict => Answer::Conflict,
        };
        self.renewed = matches!(answer, Answer::Object(_)).then_some(now);
        Ok(())
    }

    /// Whether it is ours to renew or to take.
    fn is_free(&mut self, lease: &Value, now: Instant) -> bool {
        let holder = lease.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default();
        if holder.is_empty() || holder == self.me {
            return true;
        }
        let version = lease.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let seconds = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_u64);
        let lasts = seconds.map_or(DURATION, Duration::from_secs);
        match &self.seen {
            Some((seen, since)) if seen == version => now.duration_since(*since) >= lasts,
            _ => {
                self.seen = Some((version.to_owned(), now));
                false
            }
        }
    }

    /// The Lease as it is when we hold it.
    fn taken(&self, mut lease: Value) -> Value {
        let now = micro_time(Timestamp::now());
        let before = lease.get("spec").cloned().unwrap_or_default();
        let mine = before.get("holderIdentity").and_then(Value::as_str) == Some(self.me.as_str());
        let transitions = before.get("leaseTransitions").and_then(Value::as_u64).unwrap_or(0);
        let acquired = before.get("acquireTime").filter(|_| mine).cloned();
        let taken = json!({
            "holderIdentity": self.me,
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": acquired.unwrap_or_else(|| now.clone().into()),
            "renewTime": now,
            "leaseTransitions": if mine || before.is_null() { transitions } else { transitions + 1 },
        });
        if let Some(lease) = lease.as_object_mut() {
            lease.insert("spec".to_owned(), taken);
        }
        lease
    }

    /// Gives it back, so that another replica need not wait.
    ///
    /// # Errors
    /// The API server could not be asked. It expires then.
    pub(super) async fn release(&mut self, api: &Api) -> Result<(), Trouble> {
        self.renewed = None;
        let Answer::Object(mut lease) = api.lease(&self.namespace, NAME).await? else { return Ok(()) };
        let holder = lease.pointer("/spec/holderIdentity").and_then(Value::as_str);
        if holder == Some(self.me.as_str()) {
            if let Some(spec) = lease.get_mut("spec").and_then(Value::as_object_mut) {
                spec.insert("holderIdentity".to_owned(), "".into());
                spec.insert("leaseDurationSeconds".to_owned(), 1.into());
            }
            api.replace_lease(&self.namespace, NAME, &lease).await?;
        }
        Ok(())
    }
}
