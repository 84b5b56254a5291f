//! Texts with variables and wildcards.

use serde_json::{Map, Value};

/// A character of a text, or a variable in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    Char(char),
    Claim(String),
}

/// A place of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum P {
    AnyText,
    AnyCharacter,
    Char(char),
}

impl P {
    pub(super) const fn of(c: char) -> Self {
        match c {
            '*' => Self::AnyText,
            '?' => Self::AnyCharacter,
            other => Self::Char(other),
        }
    }
}

/// Reads a text with variables; none if a variable cannot be read.
pub(super) fn marks(text: &str) -> Option<Vec<Mark>> {
    let Some(c) = text.chars().next() else { return Some(Vec::new()) };
    let (mark, rest) = if let Some(variable) = text.strip_prefix("${") {
        let (variable, rest) = variable.split_once('}')?;
        (Mark::Claim(variable.strip_prefix("jwt:").filter(|claim| is_key(claim))?.to_owned()), rest)
    } else {
        (Mark::Char(c), text.strip_prefix(c)?)
    };
    let mut all = vec![mark];
    all.extend(marks(rest)?);
    Some(all)
}

/// Whether a claim may be asked for.
pub(super) fn is_key(claim: &str) -> bool {
    !claim.is_empty() && !["exp", "iat", "nbf", "jti"].contains(&top(claim).as_str())
}

/// The name of the top-level claim of a name or JSON Pointer.
fn top(claim: &str) -> String {
    match claim.strip_prefix('/') {
        Some(path) => path.split('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~"),
        None => claim.to_owned(),
    }
}

/// The value of a claim, by name or JSON Pointer. Claims that only this service writes are nobody's.
pub(super) fn claim(name: &str, claims: &Map<String, Value>) -> Option<Value> {
    let top = top(name);
    if top == "policy" || top == "function" || top.starts_with("fed:") {
        return None;
    }
    let value = match name.strip_prefix('/') {
        Some(_) => Value::Object(claims.clone()).pointer(name).cloned(),
        None => claims.get(name).cloned(),
    };
    value.filter(|value| !value.is_null())
}

/// The text of a string, a whole number or a boolean.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) => Some(value.to_string()),
        Value::Number(number) if !number.is_f64() => Some(value.to_string()),
        _ => None,
    }
}

/// The text with the identity's values; none if one is missing.
pub(super) fn expand(marks: &[Mark], claims: &Map<String, Value>) -> Option<String> {
    let texts = marks.iter().map(|mark| match mark {
        Mark::Char(c) => Some(c.to_string()),
        Mark::Claim(name) => scalar(&claim(name, claims)?),
    });
    texts.collect()
}

/// The pattern with the identity's values, which stand for themselves. `unresolved` stands for one that
/// is missing or not `valid`; without it there is then no pattern.
pub(super) fn pattern(
    marks: &[Mark],
    claims: &Map<String, Value>,
    unresolved: Option<P>,
    valid: fn(&str) -> bool,
) -> Option<Vec<P>> {
    let mut pattern = Vec::new();
    for mark in marks {
        match mark {
            Mark::Char(c) => pattern.push(P::of(*c)),
            Mark::Claim(name) => match claim(name, claims).and_then(|value| scalar(&value)) {
                Some(text) if valid(&text) => pattern.extend(text.chars().map(P::Char)),
                _ => pattern.push(unresolved?),
            },
        }
    }
    Some(pattern)
}

/// Whether the pattern matches the whole text.
pub(super) fn matches(pattern: &[P], text: &str) -> bool {
    let mut characters = text.chars();
    let next = characters.next();
    let after = characters.as_str();
    match (pattern.split_first(), next) {
        (None, next) => next.is_none(),
        (Some((P::AnyText, rest)), next) => matches(rest, text) || next.is_some() && matches(pattern, after),
        (Some((P::AnyCharacter, rest)), Some(_)) => matches(rest, after),
        (Some((P::Char(want), rest)), Some(have)) => *want == have && matches(rest, after),
        (Some(_), None) => false,
    }
}

/// Whether the text is a DNS label.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
