//! The names of condition operators, and how their values are read.

use super::condition::{Clause, Expected, Quantifier, Test, TextTest};
use super::key::{ContextKey, InvalidKey};
use super::operand::{self, Comparison};
use super::pattern::Glob;
use super::template::{InvalidTemplate, Template};

/// A condition operator, such as `ForAnyValue:StringLikeIfExists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    base: Base,
    quantifier: Quantifier,
    if_exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Text { matching: Matching, negated: bool },
    Numeric(Comparison),
    Date(Comparison),
    Bool,
    IpAddress { negated: bool },
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matching {
    Equal,
    EqualIgnoreCase,
    Like,
}

/// A part of a condition that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCondition {
    /// The operator is not one of the language.
    #[error(
        "unknown operator `{0}`: the string operators are {STRING_OPERATORS}; others are {OTHER_OPERATORS}"
    )]
    Operator(String),
    /// A set prefix stands before an operator that takes none.
    #[error("`{0}`: `ForAnyValue:` and `ForAllValues:` stand before string operators only")]
    Quantifier(String),
    /// The key is not one of the language.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// A variable in a value cannot be read.
    #[error("in the value `{0}`: {1}")]
    Variable(String, InvalidTemplate),
    /// The value is not what the operator compares with.
    #[error("`{value}` is not {expected}")]
    Value {
        /// The value, as written.
        value: String,
        /// What the operator needs.
        expected: &'static str,
    },
}

const STRING_OPERATORS: &str = "StringEqual, StringNotEqual, StringEqualIgnoreCase, \
     StringNotEqualIgnoreCase, StringLike, StringNotLike";
const OTHER_OPERATORS: &str = "Numeric…, Date…, Bool, Null, IpAddress and NotIpAddress";

// === impl Operator ===

impl Operator {
    /// Reads an operator's name. `…Equal` and `…Equals` are the same everywhere.
    ///
    /// # Errors
    /// Every other name, and set prefixes before operators that are not about strings.
    pub fn parse(name: &str) -> Result<Self, InvalidCondition> {
        let (quantifier, rest) = match name.split_once(':') {
            Some(("ForAnyValue", rest)) => (Quantifier::ForAnyValue, rest),
            Some(("ForAllValues", rest)) => (Quantifier::ForAllValues, rest),
            _ => (Quantifier::One, name),
        };
        let (rest, if_exists) = match rest.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let base = Base::parse(rest).ok_or_else(|| InvalidCondition::Operator(name.to_owned()))?;
        match (quantifier, base) {
            (Quantifier::One, _) | (_, Base::Text { .. }) => Ok(Self { base, quantifier, if_exists }),
            _ => Err(InvalidCondition::Quantifier(name.to_owned())),
        }
    }

    /// Whether the operator says the same of every identity: `Null…IfExists` with `false`.
    pub fn is_vacuous(self, values: &[String]) -> bool {
        self.base == Base::Null && self.if_exists && values.iter().any(|v| v.eq_ignore_ascii_case("false"))
    }

    /// Applies the operator to a key and values. What cannot be read of the values is reported and
    /// leaves the clause uncertain; a key that cannot be read leaves no clause.
    pub(crate) fn clause(
        self,
        key: &str,
        values: &[String],
    ) -> Result<(Clause, Vec<InvalidCondition>), InvalidKey> {
        let key = ContextKey::parse(key)?;
        let mut problems = Vec::new();
        let mut values = Values { texts: values, problems: &mut problems };
        let test = match self.base {
            Base::Text { matching, negated } => {
                Test::Text { quantifier: self.quantifier, negated, values: values.texts(matching) }
            }
            Base::Numeric(comparison) => {
                Test::Numeric { comparison, values: values.read(operand::parse_number, "a decimal number") }
            }
            Base::Date(comparison) => Test::Date {
                comparison,
                values: values.read(operand::parse_date, "a date such as `2026-01-31T12:00:00Z`"),
            },
            Base::Bool => Test::Bool { values: values.read(operand::parse_boolean, "`true` or `false`") },
            Base::IpAddress { negated } => Test::IpAddress {
                negated,
                values: values.read(operand::parse_network, "an address or a network such as `10.0.0.0/8`"),
            },
            Base::Null => Test::Null { absent: values.booleans() },
        };
        let unreadable_value = !problems.is_empty();
        Ok((Clause { key, if_exists: self.if_exists, test, unreadable_value }, problems))
    }
}

impl Base {
    fn parse(name: &str) -> Option<Self> {
        let name = name.replace("Equals", "Equal");
        let text = |matching, negated| Some(Self::Text { matching, negated });
        match name.as_str() {
            "StringEqual" => text(Matching::Equal, false),
            "StringNotEqual" => text(Matching::Equal, true),
            "StringEqualIgnoreCase" => text(Matching::EqualIgnoreCase, false),
            "StringNotEqualIgnoreCase" => text(Matching::EqualIgnoreCase, true),
            "StringLike" => text(Matching::Like, false),
            "StringNotLike" => text(Matching::Like, true),
            "Bool" => Some(Self::Bool),
            "Null" => Some(Self::Null),
            "IpAddress" => Some(Self::IpAddress { negated: false }),
            "NotIpAddress" => Some(Self::IpAddress { negated: true }),
            other => match (other.strip_prefix("Numeric"), other.strip_prefix("Date")) {
                (Some(comparison), _) => comparison_named(comparison).map(Self::Numeric),
                (_, Some(comparison)) => comparison_named(comparison).map(Self::Date),
                _ => None,
            },
        }
    }
}

fn comparison_named(name: &str) -> Option<Comparison> {
    Some(match name {
        "Equal" => Comparison::Equals,
        "NotEqual" => Comparison::NotEquals,
        "LessThan" => Comparison::LessThan,
        "LessThanEqual" => Comparison::LessThanEquals,
        "GreaterThan" => Comparison::GreaterThan,
        "GreaterThanEqual" => Comparison::GreaterThanEquals,
        _ => return None,
    })
}

/// The clause of `principal: {key: values}`: an exact match of texts that stand for themselves.
pub(crate) fn principal_clause(key: &str, values: &[String]) -> Result<Clause, InvalidKey> {
    let values = values.iter().map(|value| TextTest::Equal(Template::literal(value))).collect();
    let test = Test::Text { quantifier: Quantifier::One, negated: false, values };
    Ok(Clause { key: ContextKey::parse(key)?, if_exists: false, test, unreadable_value: false })
}

/// The values of a clause while they are read.
struct Values<'a> {
    texts: &'a [String],
    problems: &'a mut Vec<InvalidCondition>,
}

impl Values<'_> {
    fn texts(&mut self, matching: Matching) -> Vec<TextTest> {
        let templates = self.templates();
        let test = |template: Template| match (matching, template.as_fixed()) {
            (Matching::Equal, _) => TextTest::Equal(template),
            (Matching::EqualIgnoreCase, _) => TextTest::EqualIgnoreCase(template),
            (Matching::Like, Some(fixed)) => TextTest::Like(Glob::parse(fixed)),
            (Matching::Like, None) => TextTest::LikeTemplate(template),
        };
        templates.into_iter().map(test).collect()
    }

    fn read<T>(&mut self, read: impl Fn(&str) -> Option<T>, expected: &'static str) -> Vec<Expected<T>> {
        let mut values = Vec::new();
        for template in self.templates() {
            match template.as_fixed() {
                None => values.push(Expected::Variable(template)),
                Some(text) => match read(text) {
                    Some(value) => values.push(Expected::Fixed(value)),
                    None => self.problems.push(InvalidCondition::Value { value: text.to_owned(), expected }),
                },
            }
        }
        values
    }

    fn booleans(&mut self) -> Vec<bool> {
        let expected = "`true` (the key is absent) or `false` (it is present)";
        let mut values = Vec::new();
        for text in self.texts {
            match operand::parse_boolean(text) {
                Some(value) => values.push(value),
                None => self.problems.push(InvalidCondition::Value { value: text.clone(), expected }),
            }
        }
        values
    }

    fn templates(&mut self) -> Vec<Template> {
        let mut templates = Vec::new();
        for text in self.texts {
            match Template::parse(text) {
                Ok(template) => templates.push(template),
                Err(error) => self.problems.push(InvalidCondition::Variable(text.clone(), error)),
            }
        }
        templates
    }
}
