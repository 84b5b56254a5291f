//! The query of an API call, read as Go's `net/url` reads it, where that is the only reading.
//!
//! `url.ParseQuery` drops what it cannot read and goes on, some handlers take the first of two values
//! and some the last, and the gateway cuts off what follows a `#`. All of that is refused.

use super::escape;
use super::{Reason, Refusal};

/// The most parameters that a query may have. Newer Go versions read none at all above 10 000.
const MAX_PARAMETERS: usize = 100;

/// The parameters that say what is touched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// The value of `namespace`, if the key is there; it may be empty.
    pub(super) namespace: Option<String>,
    /// The value of `name`, if the key is there; it may be empty.
    pub(super) name: Option<String>,
}

impl Query {
    /// Reads the text after the first `?`.
    pub(super) fn read(raw: &str) -> Result<Self, Refusal> {
        if !raw.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed("the query holds a space, a control character or no ascii: escape it"));
        }
        if raw.contains(['#', ';']) {
            return Err(malformed("the query holds a '#' or ';': escape it, and separate parameters by '&'"));
        }
        if raw.split('&').count() > MAX_PARAMETERS {
            return Err(malformed("the query has more than 100 parameters: send fewer"));
        }
        let mut query = Self::default();
        for parameter in raw.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (key, value) = (unescape(key)?, unescape(value)?);
            let place = match key.as_slice() {
                b"namespace" => &mut query.namespace,
                b"name" => &mut query.name,
                _ => continue,
            };
            // What is not UTF-8 is no name either way.
            if place.replace(String::from_utf8_lossy(&value).into_owned()).is_some() {
                return Err(malformed("the query holds 'namespace' or 'name' twice: send it once"));
            }
        }
        Ok(query)
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, Refusal> {
    escape::decode(text.replace('+', " ").as_bytes()).ok_or_else(|| {
        malformed("the query holds a '%' that two hexadecimal digits do not follow: correct the escape")
    })
}

fn malformed(message: &str) -> Refusal {
    Refusal::new(Reason::MalformedQuery, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, namespace: Option<&str>, name: Option<&str>) {
        let expected = Query { namespace: namespace.map(str::to_owned), name: name.map(str::to_owned) };
        assert_eq!(Query::read(raw), Ok(expected), "{raw}");
    }

    #[test]
    fn values_are_those_that_go_reads() {
        check("", None, None);
        check("&&", None, None);
        check("namespace=a", Some("a"), None);
        check("name=f&namespace=a&follow=true&since=2026-01-01T00%3A00%3A00Z", Some("a"), Some("f"));
        check("namespace", Some(""), None);
        check("namespace=", Some(""), None);
        check("=a", None, None);
        check("%6eamespace=a", Some("a"), None);
        check("name%73pace=%61", Some("a"), None);
        check("Namespace=a&NAME=b", None, None);
        check("+namespace=a", None, None);
        check("namespace=a+b", Some("a b"), None);
        check("namespace=a%2Bb", Some("a+b"), None);
        check("namespace=a=b", Some("a=b"), None);
        check("namespace=a?name=b", Some("a?name=b"), None);
        check("namespace=a%26namespace%3Db", Some("a&namespace=b"), None);
        check("namespace=a%3Bx", Some("a;x"), None);
        check("namespace=a%23", Some("a#"), None);
        check("namespace=%ff", Some("\u{fffd}"), None);
        check("x%5b%5d=1", None, None);
    }

    #[test]
    fn queries_with_a_second_reading_are_refused() {
        for raw in [
            "namespace=a;x=1",
            "namespace=a;",
            ";",
            "x=1#&namespace=b",
            "#",
            "namespace=%zz&namespace=b",
            "x=%",
            "x=%2",
            "%zz",
            "namespace=a&namespace=a",
            "namespace=a&namespace=b",
            "namespace=&namespace=b",
            "namespace&namespace=b",
            "namespace=a&%6eamespace=b",
            "name=a&name=b",
            "name=a&na%6De=b",
            "x=a b",
            "x=\u{0}",
            "x=\u{7f}",
            "x=é",
            "x=\r\nnamespace=b",
        ] {
            assert_eq!(
                Query::read(raw).map_err(|refusal| refusal.reason),
                Err(Reason::MalformedQuery),
                "{raw:?}"
            );
        }
    }

    #[test]
    fn a_hundred_parameters_are_enough() {
        check(&format!("namespace=a{}", "&x=1".repeat(99)), Some("a"), None);
        check(&format!("namespace=a{}", "&".repeat(99)), Some("a"), None);
        for filler in ["&x=1", "&"] {
            let raw = format!("namespace=a{}", filler.repeat(100));
            assert_eq!(Query::read(&raw).map_err(|refusal| refusal.reason), Err(Reason::MalformedQuery));
        }
    }
}
