//! Texts with variables: `${jwt:CLAIM}` stands for the identity's claim.

use std::borrow::Cow;

use super::key::{ClaimKey, InvalidKey, scalar_text};
use super::pattern::{Glob, Wildcards};
use crate::identity::Principal;

/// A text that may hold variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A stretch of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Stands for itself.
    Text(String),
    /// Is replaced by the claim's text.
    Variable(ClaimKey),
}

/// A text whose variables cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// `${` without `}`.
    #[error("a variable is not closed: write `${{jwt:CLAIM}}`")]
    Unclosed,
    /// A variable other than a claim.
    #[error("unknown variable `${{{0}}}`: only `${{jwt:CLAIM}}` can stand here")]
    Unknown(String),
    /// A variable that names no claim.
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

/// What to make of a variable that the identity does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// The text matches nothing.
    Nothing,
    /// The variable matches any text.
    AnyText,
}

// === impl Template ===

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// A `${` that does not begin a variable of the language.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (variable, after) = after.split_once('}').ok_or(InvalidTemplate::Unclosed)?;
            let claim =
                variable.strip_prefix("jwt:").ok_or_else(|| InvalidTemplate::Unknown(variable.into()))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Variable(ClaimKey::parse(claim)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// A text that stands for itself, `${` included.
    pub(crate) fn literal(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    pub(crate) const fn from_parts(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.0
    }

    /// The text, if it holds no variable.
    pub fn as_fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The claims that the text asks for.
    pub fn claims(&self) -> impl Iterator<Item = &ClaimKey> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable(claim) => Some(claim),
        })
    }

    /// The text for this identity; none if a variable cannot be resolved.
    pub fn expand(&self, principal: &Principal) -> Option<String> {
        let texts = self.0.iter().map(|part| part.text(principal));
        texts.collect::<Option<Vec<_>>>().map(|texts| texts.concat())
    }

    /// The text as a pattern in which a variable stands for any text.
    pub(crate) fn to_glob(&self, text: Wildcards) -> Glob {
        Glob::from_parts(self.0.iter().map(|part| match part {
            Part::Text(literal) => (literal.as_str(), text),
            Part::Variable(_) => ("*", Wildcards::Active),
        }))
    }

    /// The text for this identity as a wildcard pattern in which the variables' values stand for
    /// themselves. A value that `valid` refuses counts as unresolved.
    pub fn expand_glob(
        &self,
        principal: &Principal,
        unresolved: Unresolved,
        valid: impl Fn(&str) -> bool,
    ) -> Option<Glob> {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => Some((Cow::Borrowed(text.as_str()), Wildcards::Active)),
            Part::Variable(_) => match part.text(principal).filter(|text| valid(text)) {
                Some(text) => Some((text, Wildcards::Literal)),
                None if unresolved == Unresolved::AnyText => Some((Cow::Borrowed("*"), Wildcards::Active)),
                None => None,
            },
        });
        let parts: Vec<_> = parts.collect::<Option<_>>()?;
        Some(Glob::from_parts(parts.iter().map(|(text, wildcards)| (text.as_ref(), *wildcards))))
    }
}

impl Part {
    fn text<'a>(&'a self, principal: &'a Principal) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Variable(claim) => scalar_text(claim.of(principal)?),
        }
    }
}
