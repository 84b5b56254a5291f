//! Actions, resources and other names as people type them.

use anyhow::{Result, anyhow, ensure};

use crate::policy::{Action, Resource};

/// From here on two words are alike enough to be taken for each other.
const ALIKE: f64 = 0.85;

/// The action with this name.
pub(super) fn action_of(text: &str) -> Result<Action> {
    Action::parse(text).ok_or_else(|| {
        let names = Action::ALL.iter().map(|action| action.name());
        anyhow!("there is no action `{text}`{}", suggestion(text, names))
    })
}

/// The resource that decisions print as `text`, of the shape that the action asks for.
pub(super) fn resource_of(action: Action, text: &str) -> Result<Resource> {
    let resource = match text.split_once(':') {
        None if text == "*" => Some(Resource::Cluster),
        Some(("*", "*")) => Some(Resource::AllNamespaces),
        Some((namespace, "*")) => Some(Resource::Namespace(namespace.to_owned())),
        Some((namespace, name)) => Some(Resource::object(namespace, name)),
        None => None,
    };
    let (fits, shape): (fn(&Resource) -> bool, _) = match action {
        Action::SystemInfo | Action::IamReview => (|resource| *resource == Resource::Cluster, "*"),
        Action::NamespaceList => (|resource| *resource == Resource::AllNamespaces, "*:*"),
        Action::FunctionList
        | Action::SecretList
        | Action::NamespaceGet
        | Action::NamespaceCreate
        | Action::NamespaceUpdate
        | Action::NamespaceDelete => {
            (|resource| matches!(resource, Resource::Namespace(_)), "NAMESPACE:*, such as dev:*")
        }
        _ => (|resource| matches!(resource, Resource::Object { .. }), "NAMESPACE:NAME, such as dev:checkout"),
    };
    let is_name = |name: &str| !name.is_empty() && !name.contains(['*', '?', ' ', ':']);
    let names_are_plain = match &resource {
        Some(Resource::Namespace(namespace)) => is_name(namespace),
        Some(Resource::Object { namespace, name }) => is_name(namespace) && is_name(name),
        _ => true,
    };
    resource
        .filter(|resource| fits(resource) && names_are_plain)
        .ok_or_else(|| anyhow!("nobody asks for {action} on `{text}`: write {shape}"))
}

/// Fails unless `word` is one of `known`.
pub(super) fn ensure_known(what: &str, word: &str, known: &[&'static str]) -> Result<()> {
    ensure!(known.contains(&word), "there is no {what} `{word}`{}", suggestion(word, known.iter().copied()));
    Ok(())
}

/// What was meant, where one word comes close; otherwise what there is.
pub(super) fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let alike = known.iter().map(|known| (strsim::jaro_winkler(word, known), known));
    match alike.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, meant)) => format!(": did you mean `{meant}`?"),
        None if known.is_empty() => String::new(),
        None => format!(": write one of {}", known.join(", ")),
    }
}
