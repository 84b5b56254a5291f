//! Conditions: `operator -> key -> values`, three-valued.
//!
//! Operators have the meaning that the AWS IAM reference gives them ("IAM JSON policy elements:
//! Condition operators"). Between operators and between keys stands AND; a positive operator holds
//! when any value matches, a negated one when none does.

use std::borrow::Cow;

use ipnet::IpNet;
use serde_json::Value;

use super::key::{ClaimKey, Context, ContextKey, scalar_text};
use super::operand::{self, Comparison, Number};
use super::pattern::Glob;
use super::template::{Template, Unresolved};
use crate::identity::Principal;

/// The value of a condition: Kleene's three values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// Excluded.
    False,
    /// Cannot be told.
    Indeterminate,
    /// Certain.
    True,
}

/// When something applies: all clauses must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    clauses: Vec<Clause>,
    /// Set where a part could not be read: the condition is then never certain.
    unreadable: bool,
}

/// One operator applied to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    pub(crate) key: ContextKey,
    /// `…IfExists`: true where the key has no value.
    pub(crate) if_exists: bool,
    pub(crate) test: Test,
    /// Set where one of the values could not be read: it may match anything or nothing.
    pub(crate) unreadable_value: bool,
}

/// What is asked of a key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    Text { quantifier: Quantifier, negated: bool, values: Vec<TextTest> },
    Numeric { comparison: Comparison, values: Vec<Expected<Number>> },
    Date { comparison: Comparison, values: Vec<Expected<Number>> },
    Bool { values: Vec<Expected<bool>> },
    IpAddress { negated: bool, values: Vec<Expected<IpNet>> },
    Null { absent: Vec<bool> },
}

/// How an operator treats a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantifier {
    /// No set prefix: the value must not be a list.
    One,
    /// `ForAnyValue:`.
    ForAnyValue,
    /// `ForAllValues:`.
    ForAllValues,
}

/// One value of a string operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextTest {
    Equal(Template),
    EqualIgnoreCase(Template),
    Like(Glob),
    LikeTemplate(Template),
}

/// One value of another operator, read beforehand unless it holds variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected<T> {
    Fixed(T),
    Variable(Template),
}

// === impl Truth ===

impl Truth {
    /// Kleene's AND.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            _ => Self::Indeterminate,
        }
    }

    /// Kleene's OR.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.negate().and(other.negate()).negate()
    }

    /// Kleene's NOT.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Indeterminate => Self::Indeterminate,
            Self::True => Self::False,
        }
    }

    fn any(truths: impl Iterator<Item = Self>) -> Self {
        truths.fold(Self::False, Self::or)
    }

    fn all(truths: impl Iterator<Item = Self>) -> Self {
        truths.fold(Self::True, Self::and)
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl From<Option<bool>> for Truth {
    fn from(value: Option<bool>) -> Self {
        value.map_or(Self::Indeterminate, Self::from)
    }
}

// === impl Condition ===

impl Condition {
    pub(crate) const fn new(clauses: Vec<Clause>, unreadable: bool) -> Self {
        Self { clauses, unreadable }
    }

    /// Whether the condition holds.
    pub fn truth(&self, principal: &Principal, context: &Context) -> Truth {
        let mut truth = if self.unreadable { Truth::Indeterminate } else { Truth::True };
        for clause in &self.clauses {
            truth = truth.and(clause.truth(principal, context));
            if truth == Truth::False {
                break;
            }
        }
        truth
    }

    /// Whether a clause, or every value of one, could not be read: the condition is then never certain,
    /// whatever the others say.
    pub fn is_never_certain(&self) -> bool {
        self.unreadable || self.clauses.iter().any(|clause| clause.test.is_empty())
    }

    pub(super) fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Whether a part could not be read.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable || self.clauses.iter().any(|clause| clause.unreadable_value)
    }

    /// The claims that the condition asks for, in keys and variables.
    pub fn claims(&self) -> impl Iterator<Item = &ClaimKey> {
        self.clauses.iter().flat_map(|clause| {
            let key = match &clause.key {
                ContextKey::Claim(claim) => Some(claim),
                _ => None,
            };
            key.into_iter().chain(clause.test.templates().into_iter().flat_map(|t| t.claims()))
        })
    }

    /// The texts of which the claim `name` must be one, where the condition says so plainly: for an
    /// identity whose claim is a string and none of them, the condition is false.
    pub fn required_texts(&self, name: &str) -> Option<Vec<&str>> {
        self.clauses.iter().find_map(|clause| {
            let (ContextKey::Claim(ClaimKey::Name(claim)), false, false) =
                (&clause.key, clause.if_exists, clause.unreadable_value)
            else {
                return None;
            };
            let Test::Text { quantifier: Quantifier::One, negated: false, values } = &clause.test else {
                return None;
            };
            let texts = values.iter().map(|value| match value {
                TextTest::Equal(template) => template.as_fixed(),
                TextTest::Like(glob) => glob.as_exact(),
                TextTest::EqualIgnoreCase(_) | TextTest::LikeTemplate(_) => None,
            });
            if claim == name { texts.collect() } else { None }
        })
    }
}

// === impl Clause ===

impl Clause {
    /// Without a value that could be read the clause says nothing, of an absent key neither; nor does
    /// it of a claim that is not known.
    fn truth(&self, principal: &Principal, context: &Context) -> Truth {
        if self.test.is_empty() || !self.key.is_known(principal) {
            return Truth::Indeterminate;
        }
        match self.key.value(principal, context) {
            None if self.if_exists => Truth::True,
            None => Truth::from(self.absent()),
            Some(value) => self.present(&value, principal),
        }
    }

    /// What the test says of a key without a value: a positive operator is false, a negated one
    /// true, `ForAnyValue` false as over any empty set, `ForAllValues` cannot tell.
    fn absent(&self) -> Option<bool> {
        match &self.test {
            Test::Text { quantifier: Quantifier::ForAllValues, .. } => None,
            Test::Text { quantifier: Quantifier::ForAnyValue, .. } | Test::Bool { .. } => Some(false),
            Test::Text { negated, .. } | Test::IpAddress { negated, .. } => Some(*negated),
            Test::Numeric { comparison, .. } | Test::Date { comparison, .. } => Some(comparison.is_negated()),
            Test::Null { absent } => absent.contains(&true).then_some(true).or_else(|| self.readable(false)),
        }
    }

    fn present(&self, value: &Value, principal: &Principal) -> Truth {
        match &self.test {
            Test::Text { quantifier, negated, values } => quantifier.truth(value, |value| {
                let Some(text) = scalar_text(value) else { return Truth::Indeterminate };
                self.any(values.iter().map(|v| v.test(&text, principal))).negate_if(*negated)
            }),
            Test::Numeric { comparison, values } => {
                let have = operand::number(value);
                let holds = |want: &Number| have.map(|have| comparison.holds(have, *want));
                self.any(values.iter().map(|v| v.test(principal, operand::parse_number, holds)))
                    .negate_if(comparison.is_negated())
            }
            Test::Date { comparison, values } => {
                let have = operand::date(value);
                let holds = |want: &Number| have.map(|have| comparison.holds(have, *want));
                self.any(values.iter().map(|v| v.test(principal, operand::parse_date, holds)))
                    .negate_if(comparison.is_negated())
            }
            Test::Bool { values } => {
                let have = operand::boolean(value);
                let holds = |want: &bool| have.map(|have| have == *want);
                self.any(values.iter().map(|v| v.test(principal, operand::parse_boolean, holds)))
            }
            Test::IpAddress { negated, values } => {
                let have = operand::address(value);
                let within = |net: &IpNet| have.map(|have| net.contains(&have));
                self.any(values.iter().map(|v| v.test(principal, operand::parse_network, within)))
                    .negate_if(*negated)
            }
            Test::Null { absent } => self.any(absent.iter().map(|absent| Truth::from(!absent))),
        }
    }

    /// `value`, unless a value of the clause could not be read.
    fn readable(&self, value: bool) -> Option<bool> {
        (!self.unreadable_value).then_some(value)
    }

    /// OR over the values; a value that could not be read may match.
    fn any(&self, values: impl Iterator<Item = Truth>) -> Truth {
        Truth::any(values).or(Truth::from(self.readable(false)))
    }
}

impl Truth {
    fn negate_if(self, negated: bool) -> Self {
        if negated { self.negate() } else { self }
    }
}

// === impl Quantifier ===

impl Quantifier {
    /// Applies a test of one value to a value that may be a list.
    fn truth(self, value: &Value, one: impl Fn(&Value) -> Truth) -> Truth {
        let items = match value {
            Value::Array(items) => items.as_slice(),
            scalar => std::slice::from_ref(scalar),
        };
        match self {
            Self::One if value.is_array() => Truth::Indeterminate,
            Self::One => one(value),
            Self::ForAnyValue => Truth::any(items.iter().map(one)),
            Self::ForAllValues if items.is_empty() => Truth::Indeterminate,
            Self::ForAllValues => Truth::all(items.iter().map(one)),
        }
    }
}

// === impl Test ===

impl Test {
    const fn is_empty(&self) -> bool {
        match self {
            Self::Text { values, .. } => values.is_empty(),
            Self::Numeric { values, .. } | Self::Date { values, .. } => values.is_empty(),
            Self::Bool { values } => values.is_empty(),
            Self::IpAddress { values, .. } => values.is_empty(),
            Self::Null { absent } => absent.is_empty(),
        }
    }

    fn templates(&self) -> Vec<&Template> {
        fn of<T>(values: &[Expected<T>]) -> Vec<&Template> {
            values.iter().filter_map(Expected::template).collect()
        }
        match self {
            Self::Text { values, .. } => values.iter().filter_map(TextTest::template).collect(),
            Self::Numeric { values, .. } | Self::Date { values, .. } => of(values),
            Self::Bool { values } => of(values),
            Self::IpAddress { values, .. } => of(values),
            Self::Null { .. } => Vec::new(),
        }
    }
}

impl TextTest {
    /// Whether the value matches `text`; a variable without a value leaves it open.
    fn test(&self, text: &str, principal: &Principal) -> Truth {
        Truth::from(match self {
            Self::Equal(want) => want.expanded(principal).map(|want| want == text),
            Self::EqualIgnoreCase(want) => {
                want.expanded(principal).map(|want| operand::fold_case(&want) == operand::fold_case(text))
            }
            Self::Like(glob) => Some(glob.matches(text)),
            Self::LikeTemplate(template) => {
                template.expand_glob(principal, Unresolved::Nothing, |_| true).map(|glob| glob.matches(text))
            }
        })
    }

    fn template(&self) -> Option<&Template> {
        match self {
            Self::Equal(template) | Self::EqualIgnoreCase(template) | Self::LikeTemplate(template) => {
                Some(template)
            }
            Self::Like(_) => None,
        }
    }
}

impl Template {
    fn expanded(&self, principal: &Principal) -> Option<Cow<'_, str>> {
        match self.as_fixed() {
            Some(fixed) => Some(Cow::Borrowed(fixed)),
            None => self.expand(principal).map(Cow::Owned),
        }
    }
}

impl<T> Expected<T> {
    /// Whether the value matches; a variable without a readable value leaves it open.
    fn test(
        &self,
        principal: &Principal,
        read: impl Fn(&str) -> Option<T>,
        holds: impl Fn(&T) -> Option<bool>,
    ) -> Truth {
        Truth::from(match self {
            Self::Fixed(value) => holds(value),
            Self::Variable(template) => {
                template.expand(principal).and_then(|text| read(&text)).and_then(|value| holds(&value))
            }
        })
    }

    fn template(&self) -> Option<&Template> {
        match self {
            Self::Fixed(_) => None,
            Self::Variable(template) => Some(template),
        }
    }
}
