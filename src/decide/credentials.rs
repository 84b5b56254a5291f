//! What a request presents in its `Authorization` header (RFC 9110 section 11.6.2).

/// Credentials, as presented.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// None, or a scheme without anything after it.
    None,
    /// A Bearer token (RFC 6750).
    Bearer(&'a str),
    /// Basic credentials (RFC 7617), still encoded.
    Basic(&'a str),
    /// Several, or of another scheme, or not in the form of one.
    Other,
}

impl<'a> Credentials<'a> {
    /// Reads the header. Repeated headers arrive joined with a comma: there is no telling which one
    /// another reader would take, so they are not credentials.
    pub fn read(authorization: Option<&'a str>) -> Self {
        let Some(value) = authorization.map(str::trim).filter(|value| !value.is_empty()) else {
            return Self::None;
        };
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        let (bearer, basic) = (scheme.eq_ignore_ascii_case("bearer"), scheme.eq_ignore_ascii_case("basic"));
        match rest.trim_start() {
            "" if bearer || basic => Self::None,
            token if token.contains([',', ' ', '\t']) => Self::Other,
            token if bearer => Self::Bearer(token),
            token if basic => Self::Basic(token),
            _ => Self::Other,
        }
    }

    /// Every part of the header that could be a token to some reader, whatever stands around it.
    pub fn candidates(authorization: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let outside = |c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c);
        authorization.unwrap_or_default().split(outside).flat_map(|run| {
            let starts = std::iter::once(0).chain(run.match_indices('.').map(|(dot, _)| dot + 1));
            starts.filter_map(|start| run.get(start..).and_then(token_at))
        })
    }
}

/// The three parts with dots between them that a text begins with. What stands before `eyJ`, with
/// which every JSON object without spaces begins in base64, is left out.
fn token_at(text: &str) -> Option<&str> {
    let (first, _) = text.split_once('.')?;
    let text = first.find("eyJ").and_then(|at| text.get(at..)).unwrap_or(text);
    let mut dots = text.match_indices('.').map(|(dot, _)| dot).skip(1);
    dots.next()?;
    text.get(..dots.next().unwrap_or(text.len()))
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer([redacted])",
            Self::Basic(_) => "Basic([redacted])",
            Self::Other => "Other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_credential_of_a_known_scheme_is_read() {
        for (header, expected) in [
            ("Bearer a.b.c", Credentials::Bearer("a.b.c")),
            ("bearer   a.b.c ", Credentials::Bearer("a.b.c")),
            ("Basic dTpw", Credentials::Basic("dTpw")),
            ("Bearer", Credentials::None),
            ("Bearer ", Credentials::None),
            ("", Credentials::None),
            ("Bearer a,Bearer b", Credentials::Other),
            ("Bearer a, Basic b", Credentials::Other),
            ("Bearer a b", Credentials::Other),
            ("Digest x", Credentials::Other),
            ("a.b.c", Credentials::Other),
        ] {
            assert_eq!(Credentials::read(Some(header)), expected, "{header}");
        }
        assert_eq!(Credentials::read(None), Credentials::None);
    }

    #[test]
    fn no_form_hides_a_token() {
        for header in [
            "eyJ.b.c",
            "Bearer eyJ.b.c",
            "x, bearer\teyJ.b.c",
            "Token token=\"eyJ.b.c\"",
            "Basic x,eyJ.b.c",
            "Bearer 'eyJ.b.c'",
            "Bearer <eyJ.b.c>",
            "Bearer%20eyJ.b.c",
            "Bearer_eyJ.b.c",
            "{eyJ.b.c}",
            "Bearer eyJ.b.c&x",
        ] {
            assert_eq!(Credentials::candidates(Some(header)).collect::<Vec<_>>(), ["eyJ.b.c"], "{header}");
        }
        for header in ["Bearer eyJ.b.c.", "Bearer .eyJ.b.c", "eyJ.b.c.eyJ.b.c", "x.eyJ.b.c.y"] {
            assert!(Credentials::candidates(Some(header)).any(|found| found == "eyJ.b.c"), "{header}");
        }
        assert_eq!(Credentials::candidates(Some("a.b.c")).collect::<Vec<_>>(), ["a.b.c"]);
        assert_eq!(Credentials::candidates(Some("a.b")).count(), 0);
        assert_eq!(Credentials::candidates(None).count(), 0);
    }
}
