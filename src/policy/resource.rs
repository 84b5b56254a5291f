//! What an action is done to, and the names that may stand there.

use std::fmt;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// The whole installation: `System:Info`, `IAM:Review`.
    Cluster,
    /// A namespace: the List actions of functions and secrets, and `Namespace:*`.
    Namespace(String),
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
            Self::Cluster => None,
            Self::Namespace(namespace) | Self::Object { namespace, .. } => Some(namespace),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("*"),
            Self::Namespace(namespace) => write!(f, "{namespace}:*"),
            Self::Object { namespace, name } => write!(f, "{namespace}:{name}"),
        }
    }
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
