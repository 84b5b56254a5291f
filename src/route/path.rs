//! The path of a request, read so that no later reader can see another one.
//!
//! The gateway's router matches the decoded path, then the gateway writes that path into a new URL
//! and parses it again, and the worker of the asynchronous queue does so once more. What would
//! change its meaning on any of these ways is refused here.
//!
//! The path is read segment by segment: since no `/` may come from an escape, the segments of the
//! raw path are those of the decoded one.

use super::escape;
use super::{Reason, Refusal};

/// How much a segment may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    /// The characters of route names: `/system` and `/ui`.
    Names,
    /// Any ASCII that has no meaning in a URL.
    Ascii,
    /// The part of a path that belongs to a function: UTF-8, and escapes that stay harmless.
    SubPath,
}

/// The path, decoded once. It begins with `/`.
pub(super) fn read(raw: &str) -> Result<String, Refusal> {
    let segments = raw
        .strip_prefix('/')
        .ok_or_else(|| malformed("the request target does not begin with '/': send it in origin form"))?;
    let mut path = String::with_capacity(raw.len());
    let mut first = String::new();
    let mut segments = segments.split('/').enumerate().peekable();
    while let Some((index, segment)) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(malformed("the path holds '//': send one slash"));
        }
        let segment = read_segment(segment, alphabet(&first, index))?;
        path.push('/');
        path.push_str(&segment);
        if index == 0 {
            first = segment;
        }
    }
    Ok(path)
}

/// Whether `path` lies in the REST API, whose queries are read.
pub(super) fn is_api(path: &str) -> bool {
    path == "/system" || path.starts_with("/system/")
}

fn alphabet(first: &str, index: usize) -> Alphabet {
    match first {
        "system" | "ui" => Alphabet::Names,
        "function" | "async-function" if index >= 2 => Alphabet::SubPath,
        _ => Alphabet::Ascii,
    }
}

fn read_segment(raw: &str, alphabet: Alphabet) -> Result<String, Refusal> {
    if raw.contains(' ') {
        return Err(malformed("the path holds a space: escape it"));
    }
    // The gateway's scaler looks at the undecoded path, so an escaped dot would hide a namespace.
    if alphabet != Alphabet::SubPath && raw.to_ascii_lowercase().contains("%2e") {
        return Err(malformed("the path holds an escaped dot: send it unescaped"));
    }
    let once = decode(raw.as_bytes())?;
    check(&once, alphabet)?;
    if alphabet == Alphabet::SubPath && once.contains('%') {
        let twice = decode(once.as_bytes())?;
        if twice.contains('%') {
            return Err(malformed("the path holds a percent sign that is escaped twice: escape it once"));
        }
        check(&twice, alphabet)?;
    }
    Ok(once)
}

fn decode(text: &[u8]) -> Result<String, Refusal> {
    let bytes = escape::decode(text).ok_or_else(|| {
        malformed("the path holds a '%' that two hexadecimal digits do not follow: correct the escape")
    })?;
    String::from_utf8(bytes).map_err(|_| malformed("the path is not utf-8: encode it as utf-8"))
}

fn check(segment: &str, alphabet: Alphabet) -> Result<(), Refusal> {
    if segment == "." || segment == ".." {
        return Err(malformed("the path holds a '.' or '..' segment: resolve it before sending"));
    }
    if segment.bytes().any(|byte| byte.is_ascii_control() || b"/\\?#".contains(&byte)) {
        return Err(malformed(
            "the path holds a control character, '\\', '#' or an escaped '/' or '?': remove it",
        ));
    }
    let fits = match alphabet {
        Alphabet::SubPath => true,
        Alphabet::Ascii => segment.bytes().all(|byte| byte.is_ascii() && byte != b'%'),
        Alphabet::Names => segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
    };
    if fits { Ok(()) } else { Err(malformed("the path holds a character that no route has: remove it")) }
}

fn malformed(message: &str) -> Refusal {
    Refusal::new(Reason::MalformedPath, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(raw: &str) {
        let refusal = read(raw).expect_err(raw);
        assert_eq!(refusal.reason, Reason::MalformedPath, "{raw}");
    }

    #[test]
    fn plain_paths_are_read_as_they_are() {
        for path in [
            "/",
            "/ui/",
            "/system/functions",
            "/system/functions/",
            "/function/f.ns/",
            "/x",
            "/function/f/a.b/",
        ] {
            assert_eq!(read(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn escapes_are_decoded_once() {
        for (raw, decoded) in [
            ("/system/%66unctions", "/system/functions"),
            ("/%66unction/f", "/function/f"),
            ("/%73ystem/%66unctions", "/system/functions"),
            ("/function/f/a%20b", "/function/f/a b"),
            ("/function/f/%C3%A9", "/function/f/é"),
            ("/function/f/é", "/function/f/é"),
            ("/function/f/a%2ejpg", "/function/f/a.jpg"),
            ("/function/f/%2541", "/function/f/%41"),
            ("/function/f/a%252ejpg", "/function/f/a%2ejpg"),
            ("/%61sync-function/f/%2541", "/async-function/f/%41"),
        ] {
            assert_eq!(read(raw).as_deref(), Ok(decoded));
        }
    }

    #[test]
    fn targets_that_are_no_path_are_refused() {
        for raw in
            ["", "*", "system/functions", "http://gateway/system/functions", "%2Fsystem/functions", " /"]
        {
            refused(raw);
        }
    }

    #[test]
    fn paths_that_a_later_reader_would_change_are_refused_on_every_prefix() {
        let attacks = [
            "/x",
            ".",
            "..",
            "%2e",
            "%2E",
            "%2e%2e",
            ".%2e",
            "%2e.",
            "%2f",
            "a%2Fb",
            "%5c",
            "\\",
            "a%5Cb",
            "#",
            "%23",
            "%3f",
            "a%3Fb=c",
            "%00",
            "%0a",
            "%0d",
            "%7f",
            "%1f",
            "%",
            "%2",
            "%zz",
            "%25",
            "%25zz",
            "%252",
            "%252e",
            "%252e%252e",
            ".%252e",
            "%252f",
            "%255c",
            "%253f",
            "%2523",
            "%2500",
            "%257f",
            "%2525",
            "%25252e",
            "%25252541",
            "%252525",
            "%ff",
            "%c0%ae",
            "%25c0%25ae",
            "%25ff",
            "a b",
            "\u{1}",
            "\n",
            "%ed%a0%80",
        ];
        for prefix in
            ["/function/f/", "/async-function/f.ns/a/", "/system/", "/system/function/", "/ui/", "/", "/x/"]
        {
            for attack in attacks {
                for suffix in ["", "/", "/g"] {
                    refused(&format!("{prefix}{attack}{suffix}"));
                }
            }
        }
    }

    #[test]
    fn only_a_sub_path_may_hold_what_routes_do_not() {
        for raw in [
            "/system/fünctions",
            "/system/f%C3%BCnctions",
            "/system/a%20b",
            "/system/a;b",
            "/system/a~b",
            "/system/functions%2541",
            "/%73ystem/a~b",
            "/ui/a~b",
            "/function/é",
            "/function/%C3%A9/x",
            "/function/f%2541",
            "/function/f%2Ens",
            "/function/f%2ens/x",
            "/system/function/f%2Ens",
            "/function%2Ff",
            "/system%2Ffunction%2Ff",
            "/systemé",
        ] {
            refused(raw);
        }
        for good in
            ["/function/f/a;b~c:d@e!$&'()*+,=", "/function/f/...", "/function/f/..a", "/function/f/a.."]
        {
            assert_eq!(read(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn a_long_run_of_nested_escapes_is_refused_quickly() {
        refused(&format!("/function/f/%{}", "25".repeat(100_000)));
    }
}
