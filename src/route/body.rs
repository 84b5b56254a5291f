//! The JSON body of an API call, read so that Go's `encoding/json` cannot read another one.
//!
//! Go matches keys without regard to case, the last of several wins, and `null` leaves what stood
//! before. So a body may hold each key once, in one spelling, and names only as strings.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{HttpRequest, Reason, Refusal};
use crate::json;

/// The fields that the gateway and the providers read from bodies.
pub(super) const KNOWN_FIELDS: &[&str] = &[
    "annotations",
    "constraints",
    "envProcess",
    "envVars",
    "functionName",
    "image",
    "labels",
    "limits",
    "name",
    "namespace",
    "rawValue",
    "readOnlyRootFilesystem",
    "replicas",
    "requests",
    "secrets",
    "service",
    "serviceName",
    "value",
];

/// The fields that say what is touched.
const NAME_FIELDS: &[&str] = &["functionName", "name", "namespace", "service", "serviceName"];

/// One JSON object whose keys can be read in one way only.
#[derive(Debug)]
pub(super) struct Body(Map<String, Value>);

impl Body {
    /// Reads the whole body of `request`.
    pub(super) fn read(request: &HttpRequest<'_>) -> Result<Self, Refusal> {
        let members = json::parse_unambiguous_object(whole(request)?).map_err(|error| {
            malformed(format!(
                "the body is not one json object in utf-8 with each name once and at most {} values (line {}, \
                 column {}): correct it",
                json::MAX_VALUES,
                error.line(),
                error.column()
            ))
        })?;
        check_keys(&members)?;
        for field in NAME_FIELDS {
            if members.get(*field).is_some_and(|value| !value.is_string()) {
                return Err(malformed(format!("the body's field '{field}' is not a string: send one")));
            }
        }
        Ok(Self(members))
    }

    /// The text of a name field, if it is there; it may be empty.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    /// The entries of `secrets`; none where it is absent or `null`.
    pub(super) fn secrets(&self) -> Result<Vec<&str>, Refusal> {
        let refusal = || malformed("the body's secrets are not a list of strings: send one");
        match self.0.get("secrets") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(entries)) => {
                entries.iter().map(|entry| entry.as_str().ok_or_else(refusal)).collect()
            }
            Some(_) => Err(refusal()),
        }
    }
}

/// The body, if all of it that was announced is there.
fn whole<'a>(request: &HttpRequest<'a>) -> Result<&'a [u8], Refusal> {
    let announced = match request.content_length {
        None => Some(request.body.len()),
        Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Some(_) => {
            let message = "content-length is not one decimal number: correct it";
            return Err(Refusal::new(Reason::MalformedHeader, message));
        }
    };
    if request.partial_body || announced != Some(request.body.len()) {
        let message = "the body is too large or did not arrive whole: send a smaller one, and all of it";
        return Err(Refusal::new(Reason::PartialBody, message));
    }
    Ok(request.body)
}

fn check_keys(members: &Map<String, Value>) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for key in members.keys() {
        let folded = fold(key);
        let known = KNOWN_FIELDS.iter().find(|field| field.eq_ignore_ascii_case(&folded));
        if let Some(field) = known.filter(|field| **field != key) {
            return Err(malformed(format!("the body spells a field in another case: write it '{field}'")));
        }
        if !seen.insert(folded) {
            return Err(malformed("the body holds two names that differ in case only: send one of them"));
        }
    }
    Ok(())
}

/// The form in which Go compares keys, as far as it matters: of the letters outside ASCII, only the
/// long s and the Kelvin sign fold into ASCII (Unicode's simple case folding).
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::MalformedBody, message)
}
