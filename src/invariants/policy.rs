//! Objects are read the same each time, in YAML and in JSON, and what cannot be read closes.

use serde_json::{Value, json};

use super::decide::{lawful, resource};
use super::world::{Asking, World, compiled};
use crate::compile::Bundle;
use crate::crd::Defaults;
use crate::decide::reference::Verdict;
use crate::json::parse_unambiguous;
use crate::policy::{Action, Context};
use crate::source::files::read_documents;

/// For the reader of objects; the bytes are the text of a file of them.
pub fn policy(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let bundle = read(text);
    assert_eq!(bundle, read(text), "it is read differently the second time");
    for diagnostic in &bundle.diagnostics {
        assert!(!diagnostic.message.is_empty() && !diagnostic.to_string().is_empty());
    }
    let snapshot = compiled(&bundle);
    let damaged = compiled(&read(&format!("{text}\n---\n{{")));
    for asking in askings() {
        let (whole, part) = (asking.answer(&snapshot), asking.answer(&damaged));
        assert!(
            whole.verdict == Verdict::Allow || part.verdict != Verdict::Allow,
            "damage allows {} on {}: {whole:?} {part:?}",
            asking.action,
            asking.resource
        );
    }
    if let Ok(document) = parse_unambiguous(data) {
        same_as_json(&bundle, document);
    }
    !bundle.unreadable_part
}

fn read(text: &str) -> Bundle {
    let mut bundle = Bundle::default();
    read_documents(text, "objects.yaml", &Defaults::default(), &mut bundle);
    bundle
}

/// JSON is YAML: what is read from the text is what the object says, or the text is not read at all.
fn same_as_json(bundle: &Bundle, document: Value) {
    let world = World { documents: vec![document], unreadable_part: false };
    for asking in askings() {
        lawful(&world, &asking);
    }
    let same = compiled(bundle).revision == world.snapshot().revision;
    assert!(same || bundle.unreadable_part, "{bundle:?} is not {:?}", world.bundle());
}

/// Some questions, of somebody with claims of several kinds.
fn askings() -> impl Iterator<Item = Asking> {
    let claims = json!({
        "iss": "https://idp.example.com", "sub": "alice", "aud": "openfaas", "groups": ["dev", "admins"],
        "email": "alice@example.com", "org": "dev", "realm_access": {"roles": ["dev"]},
    });
    let context =
        Context { source_ip: Some([10, 1, 2, 3].into()), now: 1_704_067_200, method: Some("GET".to_owned()) };
    let actions = [Action::FunctionGet, Action::FunctionList, Action::NamespaceList, Action::SecretDelete];
    actions.into_iter().map(move |action| Asking {
        claims: claims.as_object().cloned().unwrap_or_default(),
        context: context.clone(),
        action,
        resource: resource(action, "dev", "checkout"),
    })
}
