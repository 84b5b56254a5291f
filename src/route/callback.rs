//! `X-Callback-Url`: where the result of an asynchronous call is sent.
//!
//! The queue's worker posts there from inside the cluster and checks nothing, so the URL must be one
//! that all parsers split alike (RFC 3986 and the WHATWG URL Standard), and an allowed one.

use super::{Closed, Reason, Refusal};
use crate::policy::pattern::Glob;

/// A pattern over URLs, such as `https://*.example.com/hooks/*`. Scheme, authority and path are
/// matched each by itself, so that a `*` in the host never reaches into the path. A pattern without
/// a path allows every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPattern {
    scheme: Glob,
    authority: Glob,
    path: Glob,
}

impl UrlPattern {
    /// Reads a pattern. One without `://` is a pattern over the host, for any scheme.
    pub fn parse(pattern: &str) -> Self {
        let (scheme, rest) = pattern.split_once("://").unwrap_or(("*", pattern));
        let (authority, path) =
            rest.find(['/', '?']).and_then(|end| rest.split_at_checked(end)).unwrap_or((rest, "*"));
        Self { scheme: Glob::parse(scheme), authority: Glob::parse(authority), path: Glob::parse(path) }
    }

    fn matches(&self, scheme: &str, authority: &str, path: &str) -> bool {
        self.scheme.matches(scheme) && self.authority.matches(authority) && self.path.matches(path)
    }
}

/// Refuses what is not one plain URL; closes the call where the URL is not one that is allowed.
pub(super) fn check(url: &str, allow: &[UrlPattern]) -> Result<Option<Closed>, Refusal> {
    if url.contains(',') {
        return Err(malformed("is repeated or holds a comma: send one url, and escape its commas"));
    }
    if !url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+;=%".contains(&byte)) {
        return Err(malformed("holds a character that has no place in a url: escape it"));
    }
    let (scheme, rest) = url.split_once(':').ok_or_else(|| malformed("is not an absolute url: send one"))?;
    if !is_scheme(scheme) {
        return Err(malformed("is not an absolute url: begin it with a scheme"));
    }
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Ok(Some(closed("has a scheme other than http and https: use https")));
    }
    let rest = rest.strip_prefix("//").ok_or_else(|| malformed("has no host: send an absolute url"))?;
    let (authority, path) =
        rest.find(['/', '?']).and_then(|end| rest.split_at_checked(end)).unwrap_or((rest, ""));
    if path.contains(['[', ']']) {
        return Err(malformed("holds a bracket after the host: escape it"));
    }
    if authority.contains('@') {
        return Ok(Some(closed("holds a user name or password: remove it")));
    }
    if authority.contains(['[', ']']) {
        return Ok(Some(closed("names its host by address: use a host name")));
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, "0"));
    if !is_port(port) {
        return Err(malformed("has a port that is not a number up to 65535: correct it"));
    }
    if !is_host(host) {
        return Err(malformed("has a host that is not a host name: correct it"));
    }
    if is_ipv4(host) {
        return Ok(Some(closed("names its host by address: use a host name")));
    }
    if allow.iter().any(|pattern| pattern.matches(scheme, authority, path)) {
        return Ok(None);
    }
    Ok(Some(closed("is not one that this installation allows: use another or ask its administrator")))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Labels joined by dots, of which one may stand at the end.
fn is_host(text: &str) -> bool {
    text.strip_suffix('.').unwrap_or(text).split('.').all(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    })
}

/// Whether a host is read as an IPv4 address by the WHATWG URL Standard (its last label is a number,
/// decimal, octal or hexadecimal), as C's `inet_aton` reads it too.
fn is_ipv4(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit_once('.').map_or(host, |(_, last)| last).to_ascii_lowercase();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Reason::MalformedHeader, format!("x-callback-url {what}"))
}

fn closed(what: &str) -> Closed {
    Closed::new(Reason::CallbackNotAllowed, format!("x-callback-url {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reason(url: &str, allow: &[&str]) -> Option<Reason> {
        let allow: Vec<_> = allow.iter().map(|pattern| UrlPattern::parse(pattern)).collect();
        match check(url, &allow) {
            Ok(closed) => closed.map(|closed| closed.reason),
            Err(refusal) => Some(refusal.reason),
        }
    }

    #[test]
    fn urls_that_match_are_allowed() {
        for url in [
            "https://example.com",
            "https://example.com/",
            "https://example.com:8443/a/b?c=d&e=%20",
            "https://a_b.example.com./x@y:z",
            "https://example.com?u=a@b",
            "https://1a.example",
            "https://0xg",
            "https://4.example.c0",
        ] {
            assert_eq!(reason(url, &["https://*"]), None, "{url}");
        }
        assert_eq!(reason("http://hooks.dev/x", &["https://*", "http://hooks.dev/*"]), None);
        assert_eq!(reason("HTTP://hooks.dev/x", &["*"]), None);
    }

    #[test]
    fn a_wildcard_in_the_host_does_not_reach_into_the_path() {
        let allow = ["https://*.example.com/hooks/*"];
        assert_eq!(reason("https://a.example.com/hooks/x", &allow), None);
        for url in ["https://evil.test/a.example.com/hooks/x", "https://a.example.com/x?/hooks/y"] {
            assert_eq!(reason(url, &allow), Some(Reason::CallbackNotAllowed), "{url}");
        }
    }

    #[test]
    fn urls_that_do_not_match_in_full_are_closed() {
        for (url, allow) in [
            ("http://example.com/", "https://*"),
            ("HTTPS://example.com/", "https://*"),
            ("https://example.com.evil/", "https://example.com/*"),
            ("https://example.com/", "ttps://example.com/*"),
            ("https://example.com/x", "https://example.com/"),
            ("https://evil/?https://example.com/", "https://example.com/*"),
        ] {
            assert_eq!(reason(url, &[allow]), Some(Reason::CallbackNotAllowed), "{url}");
        }
        assert_eq!(reason("https://example.com/", &[]), Some(Reason::CallbackNotAllowed));
    }

    #[test]
    fn urls_with_an_address_or_userinfo_or_another_scheme_are_closed_whatever_is_allowed() {
        for url in [
            "https://127.0.0.1/",
            "https://127.0.0.1./",
            "https://127.1",
            "https://2130706433/",
            "https://0x7f000001",
            "https://0X7F.1:80/",
            "https://0x",
            "https://017700000001/",
            "https://10.0.0.0x1",
            "https://256.256.256.256",
            "https://1.2.3.4.5",
            "https://a.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]:8080",
            "https://user@example.com/",
            "https://user:password@example.com/",
            "https://@example.com/",
            "https://example.com@127.0.0.1/",
            "https://example.com:80@evil/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "gopher://example.com",
        ] {
            assert_eq!(reason(url, &["*"]), Some(Reason::CallbackNotAllowed), "{url}");
        }
    }

    #[test]
    fn what_is_not_one_plain_url_is_malformed() {
        for url in [
            "",
            " ",
            ",",
            "https://a.example/,https://b.example/",
            "https://a.example/, https://b.example/",
            "https://exa mple.com/",
            " https://example.com/",
            "https://example.com/#x",
            "https://example.com\\@evil/",
            "https:\\\\example.com",
            "https://example.com/\t",
            "https://example.com/\r\nx: y",
            "https://exämple.com/",
            "https://ex%61mple.com/",
            "https://%31%32%37.0.0.1/",
            "https:///path",
            "https://",
            "https://:80/",
            "https://?x",
            "https://.",
            "https://a..b/",
            "https://.a/",
            "https://127.0.0.1../",
            "https://example.com:/",
            "https://example.com:65536/",
            "https://example.com:+80/",
            "https://example.com:80:80/",
            "https:example.com",
            "https:/example.com",
            "//example.com/",
            "/path",
            "example.com/path",
            "1http://example.com",
            "://example.com",
            "https://example.com/[x]",
            "https://exam(ple).com/",
        ] {
            assert_eq!(reason(url, &["*"]), Some(Reason::MalformedHeader), "{url}");
        }
    }
}
