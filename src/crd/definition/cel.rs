//! Pieces of expressions of the Common Expression Language, as Kubernetes has it since 1.30.

/// A text as a literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A list of texts as a literal.
pub(super) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", texts.into_iter().map(literal).collect::<Vec<_>>().join(", "))
}

/// Whether `text` matches a regular expression (RE2).
pub(super) fn matches(text: &str, regex: &str) -> String {
    format!("{text}.matches({})", literal(regex))
}

/// A regular expression for exactly this text.
pub(super) fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| (!c.is_alphanumeric()).then_some('\\').into_iter().chain([c])).collect()
}

/// An expression about `self`, about another value.
pub(super) fn about(expression: &str, value: &str) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut parts = expression.split("self").peekable();
    let mut out = String::new();
    while let Some(part) = parts.next() {
        out.push_str(part);
        if let Some(next) = parts.peek() {
            let within = part.ends_with(word) || next.starts_with(word);
            out.push_str(if within { "self" } else { value });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_mean_the_text() {
        assert_eq!(literal(r"it's \d"), r"'it\'s \\d'");
        assert_eq!(list(["a", "b'"]), r"['a', 'b\'']");
        assert_eq!(escaped("[::1].a1"), r"\[\:\:1\]\.a1");
    }

    #[test]
    fn only_whole_words_are_replaced() {
        assert_eq!(
            about("self.a(x, self[x] != myself && selfie)", "v.b"),
            "v.b.a(x, v.b[x] != myself && selfie)"
        );
        assert_eq!(about("self", "x"), "x");
    }
}
