//! Reads fields of an object and collects what is wrong with them.

use serde_json::{Map, Value};

use crate::compile::{Code, Diagnostic, ObjectRef, Severity};
use crate::policy::condition::Clause;
use crate::policy::operator::principal_clause;
use crate::policy::{Condition, InvalidCondition, Operator};

/// Collects the diagnostics of one object while it is read.
pub(crate) struct Reader<'a> {
    object: &'a ObjectRef,
    origin: &'a str,
    diagnostics: &'a mut Vec<Diagnostic>,
}

/// A list of texts, and whether all of it could be read.
pub(crate) struct Texts {
    pub(crate) items: Vec<String>,
    pub(crate) readable: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(object: &'a ObjectRef, origin: &'a str, diagnostics: &'a mut Vec<Diagnostic>) -> Self {
        Self { object, origin, diagnostics }
    }

    pub(crate) fn error(&mut self, field: &str, code: Code, message: impl Into<String>) {
        self.report(Severity::Error, field, code, message.into());
    }

    pub(crate) fn warning(&mut self, field: &str, code: Code, message: impl Into<String>) {
        self.report(Severity::Warning, field, code, message.into());
    }

    fn report(&mut self, severity: Severity, field: &str, code: Code, message: String) {
        self.diagnostics.push(Diagnostic {
            origin: self.origin.to_owned(),
            object: Some(self.object.clone()),
            field: field.to_owned(),
            severity,
            code,
            message,
        });
    }

    /// A map; reports every other value.
    pub(crate) fn map(&mut self, field: &str, value: Value) -> Option<Map<String, Value>> {
        match value {
            Value::Object(map) => Some(map),
            Value::Null => {
                self.error(field, Code::MissingField, "is missing");
                None
            }
            other => {
                self.error(field, Code::WrongType, format!("expected a map, found {}", type_of(&other)));
                None
            }
        }
    }

    /// A text; reports every other value.
    pub(crate) fn text(&mut self, field: &str, value: Option<Value>) -> Option<String> {
        match value {
            Some(Value::String(text)) => Some(text),
            None | Some(Value::Null) => {
                self.error(field, Code::MissingField, "is missing");
                None
            }
            Some(other) => {
                let found = type_of(&other);
                self.error(field, Code::WrongType, format!("expected a text, found {found}: quote it"));
                None
            }
        }
    }

    /// A list of texts. A bare value is a list of one; whole numbers and booleans are read as their
    /// text, as YAML authors expect.
    pub(crate) fn texts(&mut self, field: &str, value: Value) -> Texts {
        let mut texts = Texts { items: Vec::new(), readable: true };
        let values = match value {
            Value::Array(values) => values,
            bare => vec![bare],
        };
        if values.is_empty() {
            self.error(field, Code::Empty, "is an empty list: name at least one, or leave the field out");
            texts.readable = false;
        }
        for (i, value) in values.into_iter().enumerate() {
            match value {
                Value::String(text) => texts.items.push(text),
                Value::Bool(value) => texts.items.push(value.to_string()),
                Value::Number(number) if number.is_i64() || number.is_u64() => {
                    texts.items.push(number.to_string());
                }
                other => {
                    let message = format!("expected a text, found {}: quote it", type_of(&other));
                    self.error(&format!("{field}[{i}]"), Code::WrongType, message);
                    texts.readable = false;
                }
            }
        }
        texts
    }

    /// Reports fields that are left after all known ones were taken; false if there are any.
    pub(crate) fn no_more_fields(&mut self, path: &str, rest: &Map<String, Value>, known: &str) -> bool {
        for name in rest.keys() {
            let message = format!("is not a field that exists here; there are {known}");
            self.error(&format!("{path}.{name}"), Code::UnknownField, message);
        }
        rest.is_empty()
    }

    /// `operator -> key -> values`.
    pub(crate) fn condition(&mut self, field: &str, value: Value) -> Condition {
        self.clauses(field, value, |reader, path, name, value| {
            let operator = match Operator::parse(name) {
                Ok(operator) => operator,
                Err(error) => {
                    reader.error(path, Code::UnknownOperator, error.to_string());
                    return (Vec::new(), false);
                }
            };
            reader.keys(path, value, |reader, path, key, values| {
                if operator.is_vacuous(values) {
                    let message = "holds for every identity: with `IfExists`, an absent key is true as well";
                    reader.warning(path, Code::VacuousCondition, message);
                }
                let (clause, problems) = operator.clause(key, values)?;
                problems.iter().for_each(|problem| {
                    reader.error(path, Code::InvalidValue, problem.to_string());
                });
                Ok(clause)
            })
        })
    }

    /// `key -> values`, an exact match.
    pub(crate) fn principal(&mut self, field: &str, value: Value) -> Condition {
        let (clauses, readable) =
            self.keys(field, value, |_, _, key, values| Ok(principal_clause(key, values)?));
        Condition::new(clauses, !readable)
    }

    fn clauses(
        &mut self,
        field: &str,
        value: Value,
        mut read: impl FnMut(&mut Self, &str, &str, Value) -> (Vec<Clause>, bool),
    ) -> Condition {
        let Some(map) = self.non_empty_map(field, value) else { return Condition::new(Vec::new(), true) };
        let (mut clauses, mut readable) = (Vec::new(), true);
        for (name, value) in map {
            let (read, ok) = read(self, &format!("{field}.{name}"), &name, value);
            clauses.extend(read);
            readable &= ok;
        }
        Condition::new(clauses, !readable)
    }

    fn keys(
        &mut self,
        field: &str,
        value: Value,
        mut read: impl FnMut(&mut Self, &str, &str, &[String]) -> Result<Clause, InvalidCondition>,
    ) -> (Vec<Clause>, bool) {
        let Some(map) = self.non_empty_map(field, value) else { return (Vec::new(), false) };
        let (mut clauses, mut readable) = (Vec::new(), true);
        for (key, value) in map {
            let path = format!("{field}.{key}");
            let texts = self.texts(&path, value);
            match read(self, &path, &key, &texts.items) {
                Ok(mut clause) => {
                    clause.unreadable_value |= !texts.readable;
                    clauses.push(clause);
                }
                Err(error) => {
                    self.error(&path, Code::UnknownKey, error.to_string());
                    readable = false;
                }
            }
        }
        (clauses, readable)
    }

    fn non_empty_map(&mut self, field: &str, value: Value) -> Option<Map<String, Value>> {
        let map = self.map(field, value)?;
        if map.is_empty() {
            self.error(field, Code::Empty, "is an empty map: say whom or what it is about, or leave it out");
            return None;
        }
        Some(map)
    }
}

/// What a value is, in words that YAML authors use.
pub(crate) const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
