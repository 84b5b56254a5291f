//! What an action is done to, the names that may stand there, and patterns over them.

use std::borrow::Cow;
use std::fmt;

use super::action::Action;
use super::pattern::{Glob, Wildcards};
use super::statement::Effect;
use super::template::{InvalidTemplate, Part, Template, Unresolved};
use crate::identity::Principal;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// The whole installation: `System:Info`, `IAM:Review`.
    Cluster,
    /// The namespaces, all of them: what `Namespace:List` asks for.
    AllNamespaces,
    /// A namespace: the List actions of functions and secrets, and `Namespace:*`.
    Namespace(String),
    /// All functions or all secrets of a namespace at once: no request asks for that, reviews do. A
    /// decision about it is `Filter` where it may be so for some of them only.
    Objects(String),
    /// A function or secret in a namespace.
    Object {
        /// The namespace that holds it.
        namespace: String,
        /// Its name there.
        name: String,
    },
}

impl Resource {
    /// A named object.
    pub fn object(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Object { namespace: namespace.into(), name: name.into() }
    }

    /// The namespace that the resource is, or lies in.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster | Self::AllNamespaces => None,
            Self::Namespace(namespace) | Self::Objects(namespace) | Self::Object { namespace, .. } => {
                Some(namespace)
            }
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("*"),
            Self::AllNamespaces => f.write_str("*:*"),
            Self::Namespace(namespace) | Self::Objects(namespace) => write!(f, "{namespace}:*"),
            Self::Object { namespace, name } => write!(f, "{namespace}:{name}"),
        }
    }
}

/// A pattern over resources: `*`, or `NSGLOB:NAMEGLOB`, with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePattern(Shape);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Any,
    Scoped { namespace: Half, name: Half },
}

/// One half of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Half {
    Fixed(Glob),
    Variable(Template),
}

/// How much of what a request asks for a pattern covers. Only lists can be covered in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cover {
    /// Nothing.
    None,
    /// Some entries of the list.
    Part,
    /// All of it.
    Whole,
}

/// A text that is no resource pattern, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResource {
    /// Not `*`, and not two halves.
    #[error("`{0}` is not a resource: write `*` or `NAMESPACE:NAME`, such as `dev:*` or `dev:checkout`")]
    Shape(String),
    /// A variable that cannot be read.
    #[error("in the resource `{0}`: {1}")]
    Variable(String, InvalidTemplate),
}

// === impl ResourcePattern ===

impl ResourcePattern {
    /// Matches everything.
    pub const ANY: Self = Self(Shape::Any);

    /// Reads a pattern.
    ///
    /// # Errors
    /// Anything but `*` and two non-empty halves around one colon. Colons inside a variable do not
    /// count.
    pub fn parse(text: &str) -> Result<Self, InvalidResource> {
        if text == "*" {
            return Ok(Self::ANY);
        }
        let template =
            Template::parse(text).map_err(|error| InvalidResource::Variable(text.to_owned(), error))?;
        match split_halves(template).as_mut_slice() {
            [namespace, name] if !namespace.is_empty() && !name.is_empty() => Ok(Self(Shape::Scoped {
                namespace: Half::new(std::mem::take(namespace)),
                name: Half::new(std::mem::take(name)),
            })),
            _ => Err(InvalidResource::Shape(text.to_owned())),
        }
    }

    /// The templates that the pattern holds.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let halves = match &self.0 {
            Shape::Any => [None, None],
            Shape::Scoped { namespace, name } => [Some(namespace), Some(name)],
        };
        halves.into_iter().flatten().filter_map(|half| match half {
            Half::Fixed(_) => None,
            Half::Variable(template) => Some(template),
        })
    }

    /// The pattern for this identity, as its two halves; both are `*` for the pattern `*`. None where
    /// it matches nothing.
    pub fn resolve(&self, principal: &Principal, effect: Effect) -> Option<[Glob; 2]> {
        match &self.0 {
            Shape::Any => Some([Glob::parse("*"), Glob::parse("*")]),
            Shape::Scoped { namespace, name } => {
                let (namespace, name) = (namespace.glob(principal, effect)?, name.glob(principal, effect)?);
                Some([namespace.into_owned(), name.into_owned()])
            }
        }
    }

    /// How much of `resource` the pattern covers, for this identity, when `action` is asked for.
    /// A variable that cannot be resolved matches nothing in an Allow and any text in a Deny.
    pub fn cover(&self, action: Action, resource: &Resource, principal: &Principal, effect: Effect) -> Cover {
        let Shape::Scoped { namespace, name } = &self.0 else { return Cover::Whole };
        let halves = (namespace.glob(principal, effect), name.glob(principal, effect));
        let (Some(namespace), Some(name)) = halves else { return Cover::None };
        cover_by(&namespace, &name, action, resource)
    }

    /// How much the pattern covers for some identity at best: a variable stands for any text. For
    /// whoever reviews policies; decisions never look at this.
    pub fn cover_at_best(&self, action: Action, resource: &Resource) -> Cover {
        match &self.0 {
            Shape::Any => Cover::Whole,
            Shape::Scoped { namespace, name } => cover_by(&namespace.open(), &name.open(), action, resource),
        }
    }
}

fn cover_by(namespace: &Glob, name: &Glob, action: Action, resource: &Resource) -> Cover {
    match resource {
        Resource::Cluster => Cover::None,
        Resource::AllNamespaces if !name.is_any() => Cover::None,
        Resource::AllNamespaces if namespace.is_any() => Cover::Whole,
        Resource::AllNamespaces => Cover::Part,
        Resource::Namespace(asked) if !namespace.matches(asked) => Cover::None,
        Resource::Namespace(_) if name.is_any() => Cover::Whole,
        Resource::Namespace(_) if action == Action::FunctionList => Cover::Part,
        Resource::Namespace(_) => Cover::None,
        Resource::Objects(asked) if !namespace.matches(asked) => Cover::None,
        Resource::Objects(_) if name.is_any() => Cover::Whole,
        Resource::Objects(_) => Cover::Part,
        Resource::Object { namespace: in_namespace, name: asked } => {
            if namespace.matches(in_namespace) && name.matches(asked) { Cover::Whole } else { Cover::None }
        }
    }
}

impl Half {
    fn new(parts: Vec<Part>) -> Self {
        let template = Template::from_parts(parts);
        match template.as_fixed() {
            Some(text) => Self::Fixed(Glob::parse(text)),
            None => Self::Variable(template),
        }
    }

    /// A variable stands for any text.
    fn open(&self) -> Cow<'_, Glob> {
        match self {
            Self::Fixed(glob) => Cow::Borrowed(glob),
            Self::Variable(template) => Cow::Owned(template.to_glob(Wildcards::Active)),
        }
    }

    fn glob(&self, principal: &Principal, effect: Effect) -> Option<Cow<'_, Glob>> {
        let unresolved = match effect {
            Effect::Allow => Unresolved::Nothing,
            Effect::Deny => Unresolved::AnyText,
        };
        match self {
            Self::Fixed(glob) => Some(Cow::Borrowed(glob)),
            Self::Variable(template) => {
                template.expand_glob(principal, unresolved, is_dns_label).map(Cow::Owned)
            }
        }
    }
}

/// Splits a text at the colons that stand outside variables.
fn split_halves(template: Template) -> Vec<Vec<Part>> {
    let mut halves = vec![Vec::new()];
    for part in template.into_parts() {
        let Part::Text(text) = part else {
            halves.last_mut().into_iter().for_each(|half| half.push(part.clone()));
            continue;
        };
        for (i, piece) in text.split(':').enumerate() {
            if i > 0 {
                halves.push(Vec::new());
            }
            if let (Some(half), false) = (halves.last_mut(), piece.is_empty()) {
                half.push(Part::Text(piece.to_owned()));
            }
        }
    }
    halves
}

/// Whether `text` is a DNS label as Kubernetes names it (RFC 1123): at most 63 of `a-z`, `0-9` and
/// `-`, with a letter or digit at both ends.
pub fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

/// Whether `text` is a DNS subdomain as Kubernetes names it (RFC 1123): labels joined by `.`, at
/// most 253 characters in all.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_labels() {
        for good in ["a", "0", "a-b", "openfaas-fn", &"a".repeat(63)] {
            assert!(is_dns_label(good), "{good}");
        }
        for bad in ["", "-", "a-", "-a", "A", "a.b", "a_b", "é", "a ", "a\n", &"a".repeat(64)] {
            assert!(!is_dns_label(bad), "{bad}");
        }
        assert!(is_dns_subdomain("a.b-c.0"));
        for bad in ["", ".", "a..b", ".a", "a.", &"a.".repeat(127)] {
            assert!(!is_dns_subdomain(bad), "{bad}");
        }
    }
}
