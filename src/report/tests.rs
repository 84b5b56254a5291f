//! The pure parts: what is told, once, and how it is written. The rest is tested with the real API
//! server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::ledger::TELL_AGAIN;
use super::*;
use crate::compile::{IssuerKeys as Keys, Kind, ObjectRef, compile};
use crate::crd::Defaults;
use crate::identity::OwnIssuer;
use crate::source::files::read_documents;
use crate::source::issuer_keys::IssuerStatus;
use crate::state::Loaded;
use crate::token::signer::SigningKeys;

const OBJECTS: &str = r#"
apiVersion: iam.openfaas.com/v1
kind: JwtIssuer
metadata: {name: idp}
spec: {iss: https://idp.example.com, aud: [faas]}
---
apiVersion: iam.openfaas.com/v1
kind: Policy
metadata: {name: readers}
spec:
  statement:
  - {sid: a, effect: Permit, action: ["Function:List"], resource: ["dev:*"]}
  - {sid: b, effect: Allow, action: ["Function:Lisst"], resource: ["dev:*"]}
---
apiVersion: openfaas.com/v1
kind: Function
metadata: {name: hello}
spec: {environment: 7}
"#;

fn loaded() -> Loaded {
    let mut bundle = crate::compile::Bundle::default();
    read_documents(OBJECTS, "cluster", &Defaults::default(), &mut bundle);
    let own = OwnIssuer::new("https://gateway.example.com", Arc::default());
    let (snapshot, diagnostics) = compile(&bundle, &Keys::new(), &own);
    let signing = Arc::new(SigningKeys::ephemeral().unwrap());
    Loaded { snapshot, diagnostics, signing, since: SystemTime::now() }
}

fn object(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef { kind, namespace: "openfaas".to_owned(), name: name.to_owned() }
}

fn one(name: &str, detail: &str) -> (ProblemId, Problem) {
    let object = object(Kind::Policy, name);
    let id = ProblemId { object, reason: "UnknownField".to_owned(), detail: detail.to_owned() };
    (id, format!("error: {detail}"))
}

#[test]
fn problems_are_those_of_our_own_kinds_and_say_where_they_are() {
    let error = Some("the answer is 503".to_owned());
    let status =
        |iss: &str| IssuerStatus { iss: iss.into(), last_error: error.clone(), ..Default::default() };
    let issuers = [status("https://idp.example.com"), status("https://other.example.com")];
    let problems = problems(&loaded(), &issuers, "openfaas");
    let told: Vec<_> = problems
        .iter()
        .map(|(id, note)| (id.object.to_string(), id.reason.as_str(), note.split_once(": ").unwrap().0))
        .collect();
    let expected = [
        ("JwtIssuer openfaas/idp", "KeysNotFetched", "spec.iss"),
        ("Policy openfaas/readers", "InvalidEffect", "error"),
        ("Policy openfaas/readers", "UnknownAction", "warning"),
    ];
    assert_eq!(told, expected.map(|(object, reason, begin)| (object.to_owned(), reason, begin)));
    let notes: Vec<_> = problems.values().collect();
    assert!(notes[0].contains("503") && notes[1].contains("spec.statement[0].effect"), "{notes:?}");
}

#[test]
fn each_problem_is_told_once_and_again_before_api_servers_forget_it() {
    let mut ledger = Ledger::default();
    let start = Instant::now();
    let present = BTreeMap::from([one("a", "x"), one("a", "y"), one("b", "x")]);
    let due = ledger.due(&present, start);
    assert_eq!(due.len(), 3);
    assert_eq!(ledger.due(&present, start), due, "what was not written is still due");
    due.into_iter().for_each(|work| ledger.done(work, start));
    assert_eq!(ledger.due(&present, start + TELL_AGAIN / 2), []);
    assert_eq!(ledger.due(&present, start + TELL_AGAIN).len(), 3);

    // One problem less is not yet mended; none is, once.
    let less = BTreeMap::from([one("a", "y"), one("b", "x")]);
    assert_eq!(ledger.due(&less, start), []);
    let mended = ledger.due(&BTreeMap::from([one("b", "x")]), start);
    assert_eq!(mended, [Work::Mended(object(Kind::Policy, "a"))]);
    mended.into_iter().for_each(|work| ledger.done(work, start));
    assert_eq!(ledger.due(&BTreeMap::from([one("b", "x")]), start), []);
    // What comes back is told anew.
    assert_eq!(ledger.due(&less, start).len(), 1);
    ledger.forget();
    assert_eq!(ledger.due(&less, start).len(), 2);
}

#[test]
fn an_event_is_named_by_what_it_tells_and_keeps_within_limits() {
    let now = "2026-03-01T12:00:00.5Z".parse().unwrap();
    let of = |name: &str, detail: &str, uid: &str| {
        let (id, _) = one(name, detail);
        event::of(&Work::Wrong(id, format!("{detail}\u{7}\n{}", "\u{e4}".repeat(900))), uid, "pod-1", now)
    };
    let name = |event: &serde_json::Value| event["metadata"]["name"].as_str().unwrap().to_owned();
    let first = of("a", "x", "u");
    assert_eq!(name(&first), name(&of("a", "x", "u")));
    for other in [of("a", "y", "u"), of("a", "x", "v"), of("b", "x", "u")] {
        assert_ne!(name(&first), name(&other));
    }
    let long = of(&format!("{}.b", "a".repeat(199)), "x", "u");
    assert!(name(&long).starts_with(&format!("{}.", "a".repeat(199))) && name(&long).len() == 199 + 17);
    let note = first["note"].as_str().unwrap();
    assert!((1020..=1024).contains(&note.len()) && !note.contains(char::is_control), "{note}");
    assert_eq!(first["eventTime"], "2026-03-01T12:00:00.500000Z");
    assert_eq!((&first["type"], &first["reason"]), (&"Warning".into(), &"UnknownField".into()));
    let mended = event::of(&Work::Mended(object(Kind::Role, "r")), "u", "pod-1", now);
    assert_eq!((&mended["type"], &mended["regarding"]["kind"]), (&"Normal".into(), &"Role".into()));
}
