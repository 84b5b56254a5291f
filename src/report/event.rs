//! An Event, as `events.k8s.io/v1` has it.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ledger::Work;
use crate::crd::IAM_API_VERSION;

/// Who writes them.
const CONTROLLER: &str = "iam.openfaas.com/faas-iam";
/// What the service did when it found something.
const ACTION: &str = "Compile";
/// The longest note, in bytes.
const NOTE: usize = 1024;
/// The longest reporting instance, in bytes.
const INSTANCE: usize = 128;
/// How much of an object's name stands in that of its Event.
const NAME: usize = 200;

/// The Event. Its name follows from what it tells, so that replicas write one and the same.
pub(super) fn of(work: &Work, uid: &str, instance: &str, now: Timestamp) -> Value {
    let object = work.object();
    let (kind, reason, detail, note) = match work {
        Work::Wrong(id, note) => ("Warning", id.reason.as_str(), id.detail.as_str(), note.as_str()),
        Work::Mended(_) => {
            ("Normal", "Mended", "", "nothing is wrong any more: the object is in force as written")
        }
    };
    let hash = digest(&SHA256, json!([uid, reason, detail]).to_string().as_bytes());
    let hash: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let name = shortened(&object.name, NAME).trim_end_matches(['.', '-']);
    let regarding = json!({
        "apiVersion": IAM_API_VERSION,
        "kind": object.kind.to_string(),
        "namespace": object.namespace,
        "name": object.name,
        "uid": uid,
    });
    let printable: String = note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": object.namespace, "name": format!("{name}.{hash}")},
        "eventTime": micro_time(now),
        "type": kind,
        "reason": reason,
        "action": ACTION,
        "note": shortened(&printable, NOTE),
        "regarding": regarding,
        "reportingController": CONTROLLER,
        "reportingInstance": shortened(instance, INSTANCE),
    })
}

/// A time as Kubernetes writes its `MicroTime`.
pub(super) fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

fn shortened(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}
