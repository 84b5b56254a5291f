//! A second, naive evaluator, for tests to compare [`decide`](super::decide) with.
//!
//! It reads the objects as they are written at every question, links them by searching, knows no
//! index, and shares no code of reading or evaluation with the first. Truth is `Option<bool>`:
//! `None` is indeterminate.

mod condition;
mod text;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Decision, StatementRef};
use crate::policy::{Action, Context, Resource};
use crate::reason::Reason;
use text::{P, marks, matches, pattern};

/// One question, with all that its answer depends on.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The objects, as they are written.
    pub documents: &'a [Value],
    /// Whether another part of the source cannot be read.
    pub unreadable_part: bool,
    /// The claims of the original token.
    pub claims: &'a Map<String, Value>,
    /// The circumstances.
    pub context: &'a Context,
    /// What is to be done.
    pub action: Action,
    /// What it is done to.
    pub resource: &'a Resource,
}

/// A whole decision, in a form that both evaluators have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Allowed, allowed in part, or denied.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The determining statements, sorted, without repetition.
    pub statements: Vec<StatementRef>,
}

/// The three kinds of decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed.
    Allow,
    /// Allowed if the answer is filtered.
    Filter,
    /// Denied.
    Deny,
}

/// An object that has a name.
struct Named<'a> {
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    spec: &'a Value,
}

/// A statement that bears on the question.
struct Bearing {
    statement: StatementRef,
    denies: bool,
    whole: bool,
    /// Whether it stands for something that could not be read.
    closed: bool,
}

/// How a statement bears on the question: a Deny or an Allow, of the whole or a part.
struct Effect {
    denies: bool,
    whole: bool,
    closed: bool,
}

const CLOSED: Effect = Effect { denies: true, whole: true, closed: true };
const DEFAULT_NAMESPACE: &str = "openfaas";

impl From<&Decision> for Answer {
    fn from(decision: &Decision) -> Self {
        let verdict = match decision {
            Decision::Allow(_) => Verdict::Allow,
            Decision::Filter(_) => Verdict::Filter,
            Decision::Deny(_) => Verdict::Deny,
        };
        Self { verdict, reason: decision.reason(), statements: decision.statements().to_vec() }
    }
}

/// Answers one question.
pub fn answer(question: &Question<'_>) -> Answer {
    let mut objects = Vec::new();
    let mut unreadable_part = question.unreadable_part;
    for document in question.documents {
        collect(document, &mut objects, &mut unreadable_part);
    }
    let mut some_role_matches = false;
    let mut bearings = Vec::new();
    for role in objects.iter().filter(|object| object.kind == "Role") {
        let role_matches = role_truth(role, &objects, question);
        some_role_matches |= role_matches == Some(true);
        for (policy, sid, effect) in effects(role, &objects, unreadable_part, question) {
            let applies =
                if effect.denies { role_matches != Some(false) } else { role_matches == Some(true) };
            if applies {
                let Effect { denies, whole, closed } = effect;
                let statement = StatementRef { role: role.name.to_owned(), policy, sid };
                bearings.push(Bearing { statement, denies, whole, closed });
            }
        }
    }
    combine(&bearings, some_role_matches)
}

/// The combining rule: a Deny of the whole wins; without an Allow there is a denial; what is allowed
/// or denied in part must be filtered.
fn combine(bearings: &[Bearing], some_role_matches: bool) -> Answer {
    let select = |test: &dyn Fn(&Bearing) -> bool| -> Vec<&Bearing> {
        bearings.iter().filter(|bearing| test(bearing)).collect()
    };
    let answer = |verdict, reason, determining: Vec<&Bearing>| {
        let sorted: BTreeSet<_> = determining.into_iter().map(|b| b.statement.clone()).collect();
        Answer { verdict, reason, statements: sorted.into_iter().collect() }
    };
    let whole_denies = select(&|b| b.denies && b.whole);
    let whole_allows = select(&|b| !b.denies && b.whole);
    if whole_denies.iter().any(|b| !b.closed) {
        answer(Verdict::Deny, Reason::ExplicitDeny, whole_denies)
    } else if !whole_denies.is_empty() {
        answer(Verdict::Deny, Reason::InvalidPolicy, whole_denies)
    } else if select(&|b| !b.denies).is_empty() {
        let reason = if some_role_matches { Reason::NoMatchingAllow } else { Reason::NoMatchingRole };
        answer(Verdict::Deny, reason, Vec::new())
    } else if whole_allows.is_empty() || bearings.iter().any(|b| b.denies) {
        answer(Verdict::Filter, Reason::Allowed, bearings.iter().collect())
    } else {
        answer(Verdict::Allow, Reason::Allowed, whole_allows)
    }
}

/// Collects objects that have a name; notes where something could not be read.
fn collect<'a>(document: &'a Value, objects: &mut Vec<Named<'a>>, unreadable: &mut bool) {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = text("kind");
    match (text("apiVersion"), kind) {
        ("", _) | (_, "") => *unreadable = true,
        ("v1", "List") => match document.get("items") {
            Some(Value::Array(items)) => items.iter().for_each(|item| collect(item, objects, unreadable)),
            Some(Value::Null) => {}
            _ => *unreadable = true,
        },
        ("iam.openfaas.com/v1", "Policy" | "Role" | "JwtIssuer") | ("openfaas.com/v1", "Function") => {
            let metadata = |name| document.pointer(&format!("/metadata/{name}"));
            let namespace = match metadata("namespace") {
                None | Some(Value::Null) => Some(DEFAULT_NAMESPACE),
                Some(Value::String(empty)) if empty.is_empty() => Some(DEFAULT_NAMESPACE),
                Some(other) => other.as_str(),
            };
            let name = metadata("name").and_then(Value::as_str).filter(|name| !name.is_empty());
            let spec = document.get("spec").unwrap_or(&Value::Null);
            match (namespace, name) {
                (Some(namespace), Some(name)) => objects.push(Named { kind, namespace, name, spec }),
                _ => *unreadable = true,
            }
        }
        (version, _) if version.starts_with("iam.openfaas.com/") => *unreadable = true,
        _ => {}
    }
}

/// Whether the Role matches the identity.
fn role_truth(role: &Named<'_>, objects: &[Named<'_>], question: &Question<'_>) -> Option<bool> {
    let Some(spec) = role.spec.as_object() else { return Some(false) };
    let principal = spec.get("principal").map(|value| condition::principal(value, question));
    let condition = spec.get("condition").map(|value| condition::truth(value, question));
    let unreadable = !has_only(spec, &["policy", "principal", "condition"]) || is_duplicated(role, objects);
    if principal.is_none() && condition.is_none() && !unreadable {
        return Some(false);
    }
    let unreadable = if unreadable { None } else { Some(true) };
    condition::all([principal.unwrap_or(Some(true)), condition.unwrap_or(Some(true)), unreadable])
}

/// What the statements of all Policies that the Role names say, with Policy and `sid`.
fn effects(
    role: &Named<'_>,
    objects: &[Named<'_>],
    unreadable_part: bool,
    question: &Question<'_>,
) -> Vec<(String, String, Effect)> {
    let mut found = Vec::new();
    let Some(names) = role.spec.get("policy") else { return found };
    let closed = |policy: &str| (policy.to_owned(), "unreadable".to_owned(), CLOSED);
    let texts = texts(names);
    if texts.is_empty() || texts.contains(&None) {
        found.push(closed("unreadable"));
    }
    for name in texts.into_iter().flatten().collect::<BTreeSet<_>>() {
        let is_meant = |o: &&Named<'_>| o.kind == "Policy" && o.namespace == role.namespace && o.name == name;
        match objects.iter().find(is_meant) {
            Some(policy) if is_duplicated(policy, objects) => found.push(closed(&name)),
            Some(policy) => {
                let said = policy_effects(policy.spec, question);
                found.extend(said.into_iter().map(|(sid, effect)| (name.clone(), sid, effect)));
            }
            None if unreadable_part => found.push(closed(&name)),
            None => {}
        }
    }
    found
}

fn policy_effects(spec: &Value, question: &Question<'_>) -> Vec<(String, Effect)> {
    let statements = spec.get("statement").and_then(Value::as_array);
    let (Some(spec), Some(statements)) = (spec.as_object(), statements) else {
        return vec![("unreadable".to_owned(), CLOSED)];
    };
    let mut found = Vec::new();
    if !has_only(spec, &["statement"]) {
        found.push(("spec".to_owned(), CLOSED));
    }
    for (i, statement) in statements.iter().enumerate() {
        let sid = match statement.get("sid") {
            Some(Value::String(sid)) if !sid.is_empty() => sid.clone(),
            Some(Value::Number(sid)) => sid.to_string(),
            _ => format!("#{i}"),
        };
        found.extend(statement_effect(statement, question).map(|effect| (sid, effect)));
    }
    found
}

/// How one statement bears on the question, if it does.
fn statement_effect(statement: &Value, question: &Question<'_>) -> Option<Effect> {
    let effect = statement.get("effect").and_then(Value::as_str);
    let Some((actions, resources)) = readable_statement(statement, effect) else {
        return (effect != Some("Allow")).then_some(CLOSED);
    };
    let denies = effect == Some("Deny");
    if !actions.iter().any(|action| matches_plainly(action, question.action.name())) {
        return None;
    }
    let whole = resources.iter().filter_map(|resource| cover(resource, denies, question)).max()?;
    let condition = statement.get("condition").map_or(Some(true), |value| condition::truth(value, question));
    let applies = if denies { condition != Some(false) } else { condition == Some(true) };
    applies.then_some(Effect { denies, whole, closed: false })
}

/// Actions and resources of a statement, if every part but its condition can be read.
fn readable_statement(statement: &Value, effect: Option<&str>) -> Option<(Vec<String>, Vec<String>)> {
    let known = ["sid", "effect", "action", "resource", "condition"];
    let all_texts = |name| {
        let texts: Option<Vec<String>> = texts(statement.get(name)?).into_iter().collect();
        texts.filter(|texts| !texts.is_empty())
    };
    let (actions, resources): (Vec<String>, Vec<String>) = (all_texts("action")?, all_texts("resource")?);
    let exists = |action: &String| Action::ALL.iter().any(|a| matches_plainly(action, a.name()));
    let readable = has_only(statement.as_object()?, &known)
        && matches!(effect, Some("Allow" | "Deny"))
        && (effect == Some("Allow") || actions.iter().all(exists))
        && resources.iter().all(|resource| resource == "*" || halves(resource).is_some());
    readable.then_some((actions, resources))
}

/// How much of the resource a pattern covers: the whole, a part (`false`), or nothing.
fn cover(resource: &str, denies: bool, question: &Question<'_>) -> Option<bool> {
    if resource == "*" {
        return Some(true);
    }
    let [namespace, name] = halves(resource)?;
    let unresolved = denies.then_some(P::AnyText);
    let glob = |half: &[text::Mark]| pattern(half, question.claims, unresolved, text::is_label);
    let (namespace, name) = (glob(&namespace)?, glob(&name)?);
    let every_name = name.iter().all(|p| *p == P::AnyText);
    let every_namespace = namespace.iter().all(|p| *p == P::AnyText);
    match question.resource {
        Resource::Cluster => None,
        Resource::AllNamespaces => every_name.then_some(every_namespace),
        Resource::Namespace(asked) => {
            let listed_in_part = question.action == Action::FunctionList;
            (matches(&namespace, asked) && (every_name || listed_in_part)).then_some(every_name)
        }
        Resource::Objects(asked) => matches(&namespace, asked).then_some(every_name),
        Resource::Object { namespace: inside, name: asked } => {
            (matches(&namespace, inside) && matches(&name, asked)).then_some(true)
        }
    }
}

/// The halves of `NAMESPACE:NAME`, if it is that.
fn halves(resource: &str) -> Option<[Vec<text::Mark>; 2]> {
    let marks = marks(resource)?;
    let halves: Vec<_> = marks.split(|mark| *mark == text::Mark::Char(':')).map(<[_]>::to_vec).collect();
    let halves: [Vec<text::Mark>; 2] = halves.try_into().ok()?;
    halves.iter().all(|half| !half.is_empty()).then_some(halves)
}

/// Whether a pattern without variables matches.
fn matches_plainly(glob: &str, text: &str) -> bool {
    matches(&glob.chars().map(P::of).collect::<Vec<_>>(), text)
}

/// The texts of a list; a bare value is a list of one. `None` stands for what is no text.
fn texts(value: &Value) -> Vec<Option<String>> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter().map(text::scalar).collect()
}

fn has_only(fields: &Map<String, Value>, known: &[&str]) -> bool {
    fields.keys().all(|name| known.contains(&name.as_str()))
}

fn is_duplicated(object: &Named<'_>, objects: &[Named<'_>]) -> bool {
    let identity = |o: &Named<'_>| (o.kind.to_owned(), o.namespace.to_owned(), o.name.to_owned());
    objects.iter().filter(|other| identity(other) == identity(object)).count() > 1
}
