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

/// What the values of an operator are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operand {
    /// Texts: the only operators that take a set prefix.
    Text,
    /// Decimal numbers.
    Number,
    /// Points in time.
    Date,
    /// `true` or `false`.
    Boolean,
    /// Addresses and networks.
    Address,
    /// `true` (the key is absent) or `false`, without variables.
    Presence,
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

/// The operators, without prefix and suffix. Each `Equal` is also spelled `Equals`.
const BASES: &[(&str, Base)] = &[
    ("StringEqual", Base::Text { matching: Matching::Equal, negated: false }),
    ("StringNotEqual", Base::Text { matching: Matching::Equal, negated: true }),
    ("StringEqualIgnoreCase", Base::Text { matching: Matching::EqualIgnoreCase, negated: false }),
    ("StringNotEqualIgnoreCase", Base::Text { matching: Matching::EqualIgnoreCase, negated: true }),
    ("StringLike", Base::Text { matching: Matching::Like, negated: false }),
    ("StringNotLike", Base::Text { matching: Matching::Like, negated: true }),
    ("NumericEqual", Base::Numeric(Comparison::Equals)),
    ("NumericNotEqual", Base::Numeric(Comparison::NotEquals)),
    ("NumericLessThan", Base::Numeric(Comparison::LessThan)),
    ("NumericLessThanEqual", Base::Numeric(Comparison::LessThanEquals)),
    ("NumericGreaterThan", Base::Numeric(Comparison::GreaterThan)),
    ("NumericGreaterThanEqual", Base::Numeric(Comparison::GreaterThanEquals)),
    ("DateEqual", Base::Date(Comparison::Equals)),
    ("DateNotEqual", Base::Date(Comparison::NotEquals)),
    ("DateLessThan", Base::Date(Comparison::LessThan)),
    ("DateLessThanEqual", Base::Date(Comparison::LessThanEquals)),
    ("DateGreaterThan", Base::Date(Comparison::GreaterThan)),
    ("DateGreaterThanEqual", Base::Date(Comparison::GreaterThanEquals)),
    ("Bool", Base::Bool),
    ("IpAddress", Base::IpAddress { negated: false }),
    ("NotIpAddress", Base::IpAddress { negated: true }),
    ("Null", Base::Null),
];

/// What may stand before an operator of strings.
const SET_PREFIXES: &[(&str, Quantifier)] =
    &[("ForAnyValue:", Quantifier::ForAnyValue), ("ForAllValues:", Quantifier::ForAllValues)];

/// What may stand after every operator.
const IF_EXISTS: &str = "IfExists";

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

pub(crate) const STRING_OPERATORS: &str = "StringEqual, StringNotEqual, StringEqualIgnoreCase, \
     StringNotEqualIgnoreCase, StringLike, StringNotLike";
pub(crate) const OTHER_OPERATORS: &str = "Numeric…, Date…, Bool, Null, IpAddress and NotIpAddress";

// === impl Operand ===

impl Operand {
    /// Every operand.
    pub const ALL: [Self; 6] =
        [Self::Text, Self::Number, Self::Date, Self::Boolean, Self::Address, Self::Presence];

    /// What a value must be, in words. Every text is one where a text is asked for.
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a decimal number",
            Self::Date => "a date such as `2026-01-31T12:00:00Z`",
            Self::Boolean => "`true` or `false`",
            Self::Address => "an address or a network such as `10.0.0.0/8`",
            Self::Presence => "`true` (the key is absent) or `false` (it is present)",
        }
    }
}

// === impl Operator ===

impl Operator {
    /// Reads an operator's name. `…Equal` and `…Equals` are the same everywhere.
    ///
    /// # Errors
    /// Every other name, and set prefixes before operators that are not about strings.
    pub fn parse(name: &str) -> Result<Self, InvalidCondition> {
        let prefixed = SET_PREFIXES.iter().find_map(|(prefix, q)| Some((*q, name.strip_prefix(prefix)?)));
        let (quantifier, rest) = prefixed.unwrap_or((Quantifier::One, name));
        let (rest, if_exists) = match rest.strip_suffix(IF_EXISTS) {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let base = Base::parse(rest).ok_or_else(|| InvalidCondition::Operator(name.to_owned()))?;
        match (quantifier, base) {
            (Quantifier::One, _) | (_, Base::Text { .. }) => Ok(Self { base, quantifier, if_exists }),
            _ => Err(InvalidCondition::Quantifier(name.to_owned())),
        }
    }

    /// A regular expression (RE2, without anchors) for the names of all operators whose values are
    /// `operand`.
    pub fn names_of(operand: Operand) -> String {
        let bases = BASES.iter().filter(|(_, base)| base.operand() == operand);
        let names: Vec<_> = bases.map(|(name, _)| name.replace("Equal", "Equals?")).collect();
        let prefixes: Vec<_> = SET_PREFIXES.iter().map(|(prefix, _)| *prefix).collect();
        let prefix =
            if operand == Operand::Text { format!("({})?", prefixes.join("|")) } else { String::new() };
        format!("{prefix}({})({IF_EXISTS})?", names.join("|"))
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
        let expected = self.base.operand().expected();
        let test = match self.base {
            Base::Text { matching, negated } => {
                Test::Text { quantifier: self.quantifier, negated, values: values.texts(matching) }
            }
            Base::Numeric(comparison) => {
                Test::Numeric { comparison, values: values.read(operand::parse_number, expected) }
            }
            Base::Date(comparison) => {
                Test::Date { comparison, values: values.read(operand::parse_date, expected) }
            }
            Base::Bool => Test::Bool { values: values.read(operand::parse_boolean, expected) },
            Base::IpAddress { negated } => {
                Test::IpAddress { negated, values: values.read(operand::parse_network, expected) }
            }
            Base::Null => Test::Null { absent: values.booleans(expected) },
        };
        let unreadable_value = !problems.is_empty();
        Ok((Clause { key, if_exists: self.if_exists, test, unreadable_value }, problems))
    }
}

impl Base {
    fn parse(name: &str) -> Option<Self> {
        let name = name.replace("Equals", "Equal");
        BASES.iter().find(|(known, _)| *known == name).map(|(_, base)| *base)
    }

    const fn operand(self) -> Operand {
        match self {
            Self::Text { .. } => Operand::Text,
            Self::Numeric(_) => Operand::Number,
            Self::Date(_) => Operand::Date,
            Self::Bool => Operand::Boolean,
            Self::IpAddress { .. } => Operand::Address,
            Self::Null => Operand::Presence,
        }
    }
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

    fn booleans(&mut self, expected: &'static str) -> Vec<bool> {
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
