//! YAML as policies are written: what a scalar is spelled like counts.
//!
//! In a policy every scalar is a text, quoted or not. YAML however takes `NO` for a boolean, `0x1f`
//! and `+5` for numbers; a Deny for the country `NO` must not become one for `false`.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Options;

/// A text that is not YAML, or not unambiguous.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Where, within the document.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) message: String,
}

/// Reads one document. Whole numbers and booleans remain such only where they are written as JSON
/// writes them; in any other spelling they are texts.
pub(crate) fn parse(document: &str) -> Result<Value, Malformed> {
    let mut value: Value = serde_saphyr::from_str_with_options(document, options())?;
    if has_other_scalars(&value) {
        let spelling =
            |deserializer: serde_saphyr::Deserializer<'_, '_>| Spelling(&mut value).deserialize(deserializer);
        serde_saphyr::with_deserializer_from_str_with_options(document, options(), spelling)?;
    }
    Ok(value)
}

/// Reads one document into a type of ours: a field that it does not have is an error with its line.
pub(crate) fn parse_into<T: DeserializeOwned>(document: &str) -> Result<T, Malformed> {
    serde_saphyr::from_str_with_options(document, options()).map_err(|error| {
        let (line, _, message) = located(&error);
        Malformed { line, message }
    })
}

fn options() -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    }
}

fn has_other_scalars(value: &Value) -> bool {
    match value {
        Value::Bool(_) | Value::Number(_) => true,
        Value::Null | Value::String(_) => false,
        Value::Array(items) => items.iter().any(has_other_scalars),
        Value::Object(members) => members.values().any(has_other_scalars),
    }
}

/// Walks through a document once more, beside the value that it was read as, and puts the spelling in
/// the place of each whole number and boolean that JSON would write otherwise.
struct Spelling<'a>(&'a mut Value);

impl<'de> DeserializeSeed<'de> for Spelling<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Value::Object(_) => deserializer.deserialize_map(self),
            Value::Array(_) => deserializer.deserialize_seq(self),
            Value::Bool(_) | Value::Number(_) if !self.0.is_f64() => {
                let spelling = String::deserialize(deserializer)?;
                let canonical = self.0.to_string();
                if canonical != spelling {
                    *self.0 = Value::String(spelling);
                }
                Ok(())
            }
            // A fraction has no spelling that reads the same everywhere: it must be quoted anyway.
            _ => IgnoredAny::deserialize(deserializer).map(|_| ()),
        }
    }
}

impl<'de> Visitor<'de> for Spelling<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the document that was read before")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.0.get_mut(&key) {
                Some(value) => map.next_value_seed(Spelling(value))?,
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Value::Array(items) = self.0 else { return Ok(()) };
        for item in items {
            seq.next_element_seed(Spelling(item))?;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

impl From<serde_saphyr::Error> for Malformed {
    fn from(error: serde_saphyr::Error) -> Self {
        let (line, column, message) = located(&error);
        let hint = "a key or text that YAML reads as something else must be quoted";
        Self { line, message: format!("cannot be parsed as YAML: {message} (column {column}; {hint})") }
    }
}

/// Line, column and message of an error.
fn located(error: &serde_saphyr::Error) -> (usize, u64, String) {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
    // The library's line is the document's, not the file's, and its advice is for programmers.
    let ends = [" at line ", ", set DuplicateKeyPolicy", "; use Option"];
    let end = ends.iter().filter_map(|end| message.find(end)).min().unwrap_or(message.len());
    let message = message.get(..end).unwrap_or(message);
    (usize::try_from(line).unwrap_or(1), column, message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_keep_their_spelling() {
        let read = parse("[0123, 1_000, 12, -3, '7', +5, 0x1F, 0o17, 1.50, NO, yes, True, true, FALSE, 0]");
        let expected = json!([
            "0123", "1_000", 12, -3, "7", "+5", "0x1F", "0o17", 1.5, "NO", "yes", "True", true, "FALSE", 0
        ]);
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn at_every_depth_and_through_aliases() {
        let read = parse("a: &x {b: [1, [TRUE, {c: +1}]], d: text, e: null}\nf: *x\n0x1: 0x1\n");
        let x = json!({"b": [1, ["TRUE", {"c": "+1"}]], "d": "text", "e": null});
        assert_eq!(read.unwrap(), json!({"a": x, "f": x, "0x1": "0x1"}));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for bad in ["a: 1\na: 2", "a: {b: 1, b: 2}", "a: .inf", "a: [", "Null: 1", "a: 1\n---\nb: 2"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn problems_are_told_for_people() {
        let problem = parse("a: 1\nb:\n  c: 2\n  c: 3\n").unwrap_err();
        assert_eq!(problem.line, 4);
        let expected = "cannot be parsed as YAML: duplicate mapping key: c (column 3; ";
        assert!(problem.message.starts_with(expected), "{problem:?}");
    }
}
