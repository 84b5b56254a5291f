//! JSON that every reader understands alike: a member name may stand only once in an object, at any
//! depth. (RFC 8259 section 4 leaves the meaning of repeated names open, and readers differ.)
//!
//! A text may hold [`MAX_VALUES`] values at most: in memory, one of a few bytes takes a hundred times
//! its length, and some of these texts come from strangers.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The most values that a text may hold, at all depths together.
pub const MAX_VALUES: usize = 20_000;

/// Parses `bytes` as one JSON value, the whole of it, and refuses repeated member names.
///
/// # Errors
/// Malformed JSON, invalid UTF-8, trailing data, nesting deeper than 128, a repeated member name, more
/// than [`MAX_VALUES`] values. The message never quotes a value.
pub fn parse_unambiguous(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let left = Cell::new(MAX_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Unambiguous { left: &left }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// As [`parse_unambiguous`], for the text of one JSON object.
///
/// # Errors
/// As [`parse_unambiguous`], and any other value than an object.
pub fn parse_unambiguous_object(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    match parse_unambiguous(bytes)? {
        Value::Object(map) => Ok(map),
        _ => Err(serde_json::Error::custom("expected a JSON object")),
    }
}

/// Reads one value, as long as there may be more of them.
#[derive(Clone, Copy)]
struct Unambiguous<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Unambiguous<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member name stands twice in one object"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str) {
        assert!(parse_unambiguous(text.as_bytes()).is_err(), "{text}");
    }

    #[test]
    fn refuses_repeated_names_at_any_depth_and_in_any_spelling() {
        refused(r#"{"a":1,"a":2}"#);
        refused(r#"{"x":[{"a":1,"a":1}]}"#);
        refused(r#"{"a":1,"\u0061":2}"#);
    }

    #[test]
    fn refuses_what_is_not_one_whole_value() {
        for text in ["", "{}{}", "{} x", "\u{feff}{}", "{'a':1}", "[1,]", "{\"a\":1e999}", "nul"] {
            refused(text);
        }
        refused(&format!("{}{}", "[".repeat(200), "]".repeat(200)));
        assert!(parse_unambiguous(b"\"\xff\"").is_err());
    }

    #[test]
    fn refuses_more_values_than_it_may_hold_wherever_they_stand() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        assert!(parse_unambiguous(list(MAX_VALUES).as_bytes()).is_ok());
        refused(&list(MAX_VALUES + 1));
        refused(&format!(r#"{{"a":[{}0]}}"#, r#"{"":0},"#.repeat(MAX_VALUES / 2)));
        let members: Vec<_> = (0..MAX_VALUES).map(|i| format!(r#""{i}":0"#)).collect();
        refused(&format!("{{{}}}", members.join(",")));
    }

    #[test]
    fn reads_as_serde_json_does() {
        let text = r#"{"a":[1,-2,1.5,true,null,"\u00e9"],"b":{"c":18446744073709551615}}"#;
        let plain: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse_unambiguous(text.as_bytes()).unwrap(), plain);
    }
}
