//! What may stand in no output: tokens, private keys, credentials, and the passwords and other secrets
//! of the tests, all of which begin with `canary-`.
//!
//! The patterns are in `secrets.pattern`, one a line: JSON in base64url (a header or the claims of a
//! token), `canary-` and the same in base64 at each of its three offsets, keys in PEM, and credentials
//! after the name of their scheme. `tests/without-secrets` looks for the same in what a command prints.

use std::sync::LazyLock;

use regex::Regex;

#[expect(clippy::unwrap_used, reason = "without patterns nothing is found, so nothing may pass")]
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    let patterns: Vec<&str> = include_str!("secrets.pattern").lines().collect();
    Regex::new(&patterns.join("|")).unwrap()
});

/// The lines that hold a secret, with their numbers, and without it.
pub(crate) fn lines_with_secrets(text: &str) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| SECRET.is_match(line));
    lines.map(|(i, line)| format!("line {}: {}", i + 1, SECRET.replace_all(line, "[secret]"))).collect()
}
