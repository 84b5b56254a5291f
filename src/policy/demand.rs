//! What a condition demands of a claim, for whoever reviews policies: decisions never look at this.

use super::condition::{Clause, Condition, Expected, Test, TextTest};
use super::key::{ClaimKey, ContextKey};
use super::operand::{Comparison, Number, fold_case};
use super::pattern::{Glob, Wildcards};
use super::template::Template;

/// One of the texts or patterns that a claim must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    glob: Glob,
    ignore_case: bool,
}

// === impl Condition ===

impl Condition {
    /// What the condition demands of a claim: for each clause about it that holds for no identity
    /// without the claim, the alternatives of which its value must match one. Clauses that hold
    /// without the claim (`IfExists`), or for all values but some (negated operators), and those
    /// that compare an order demand nothing.
    ///
    /// A variable counts as `*`: it stands for what the token says.
    pub fn demands(&self, claim: &ClaimKey) -> Vec<Vec<Wanted>> {
        let about = self.clauses().iter().filter(|clause| match &clause.key {
            ContextKey::Claim(key) => !clause.if_exists && key.to_pointer() == claim.to_pointer(),
            _ => false,
        });
        about.filter_map(Clause::wanted).collect()
    }
}

impl Clause {
    fn wanted(&self) -> Option<Vec<Wanted>> {
        match &self.test {
            // Whatever the set prefix: none of them is true of an absent claim or an empty list.
            Test::Text { negated: false, values, .. } => Some(values.iter().map(Wanted::of_text).collect()),
            Test::Bool { values } => {
                Some(values.iter().map(|value| Wanted::of(value, ToString::to_string)).collect())
            }
            Test::Numeric { comparison: Comparison::Equals, values } => {
                Some(values.iter().map(|value| Wanted::of(value, number_text)).collect())
            }
            Test::Text { .. }
            | Test::Numeric { .. }
            | Test::Date { .. }
            | Test::IpAddress { .. }
            | Test::Null { .. } => None,
        }
    }
}

fn number_text(number: &Number) -> String {
    match number {
        Number::Whole(value) => value.to_string(),
        Number::Fraction(value) => value.to_string(),
    }
}

// === impl Wanted ===

impl Wanted {
    fn of_text(value: &TextTest) -> Self {
        let (glob, ignore_case) = match value {
            TextTest::Equal(template) => (template.to_glob(Wildcards::Literal), false),
            TextTest::EqualIgnoreCase(template) => (template.to_glob(Wildcards::Literal), true),
            TextTest::Like(glob) => (glob.clone(), false),
            TextTest::LikeTemplate(template) => (template.to_glob(Wildcards::Active), false),
        };
        Self { glob, ignore_case }
    }

    fn of<T>(value: &Expected<T>, text: impl Fn(&T) -> String) -> Self {
        let glob = match value {
            Expected::Fixed(value) => Template::literal(&text(value)).to_glob(Wildcards::Literal),
            Expected::Variable(template) => template.to_glob(Wildcards::Literal),
        };
        Self { glob, ignore_case: false }
    }

    /// Whether `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        // Only exact texts are compared without case.
        match self.as_exact() {
            Some(exact) if self.ignore_case => fold_case(exact) == fold_case(text),
            _ => self.glob.matches(text),
        }
    }

    /// Whether every text matches.
    pub fn is_any(&self) -> bool {
        self.glob.is_any()
    }

    /// The one text that matches, if it is one.
    pub fn as_exact(&self) -> Option<&str> {
        self.glob.as_exact()
    }

    /// What stands before the first wildcard.
    pub fn prefix(&self) -> String {
        self.glob.literal_prefix()
    }

    /// What stands after the last wildcard.
    pub fn suffix(&self) -> String {
        self.glob.literal_suffix()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Operator;
    use super::*;

    /// The demands of one clause on the claim `a`, each alternative as (prefix, exact).
    fn demands(operator: &str, key: &str, values: &[&str]) -> Vec<Vec<(String, bool)>> {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        let (clause, problems) = Operator::parse(operator).unwrap().clause(key, &values).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let found = Condition::new(vec![clause], false).demands(&ClaimKey::Name("a".into()));
        let shown = |alternatives: Vec<Wanted>| {
            alternatives.into_iter().map(|wanted| (wanted.prefix(), wanted.as_exact().is_some())).collect()
        };
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn what_holds_for_some_values_only_is_a_demand() {
        let exact = |text: &str| vec![vec![(text.to_owned(), true)]];
        let open = |text: &str| vec![vec![(text.to_owned(), false)]];
        for (operator, key, value, expected) in [
            ("StringEqual", "jwt:a", "x*", exact("x*")),
            ("StringEqual", "jwt:/a", "x", exact("x")),
            ("StringEqual", "jwt:a", "x-${jwt:b}", open("x-")),
            ("StringEqualIgnoreCase", "jwt:a", "X", exact("X")),
            ("StringLike", "jwt:a", "x*", open("x")),
            ("StringLike", "jwt:a", "x", exact("x")),
            ("StringLike", "jwt:a", "x${jwt:b}", open("x")),
            ("ForAnyValue:StringLike", "jwt:a", "x?", open("x")),
            ("ForAllValues:StringEqual", "jwt:a", "x", exact("x")),
            ("Bool", "jwt:a", "TRUE", exact("true")),
            ("NumericEquals", "jwt:a", "07", exact("7")),
            ("NumericEquals", "jwt:a", "${jwt:b}", open("")),
        ] {
            assert_eq!(demands(operator, key, &[value]), expected, "{operator} {key} {value}");
        }
    }

    #[test]
    fn what_holds_for_others_is_none() {
        for (operator, key, value) in [
            ("StringEqualIfExists", "jwt:a", "x"),
            ("StringNotEqual", "jwt:a", "x"),
            ("ForAnyValue:StringNotLike", "jwt:a", "x"),
            ("NumericNotEquals", "jwt:a", "1"),
            ("NumericGreaterThan", "jwt:a", "1"),
            ("Null", "jwt:a", "false"),
            ("StringEqual", "jwt:b", "x"),
            ("StringEqual", "jwt:/a/b", "x"),
            ("StringEqual", "request:Method", "x"),
        ] {
            assert!(demands(operator, key, &[value]).is_empty(), "{operator} {key} {value}");
        }
    }

    #[test]
    fn alternatives_match_as_the_operator_does() {
        let folded = Wanted::of_text(&TextTest::EqualIgnoreCase(Template::literal("https://IDP")));
        assert!(folded.matches("https://idp"));
        let like = Wanted::of_text(&TextTest::Like(Glob::parse("*@a")));
        assert!(like.matches("x@a") && !like.matches("x@A") && !like.is_any());
        assert_eq!(like.suffix(), "@a");
    }
}
