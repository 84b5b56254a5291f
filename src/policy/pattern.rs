//! The one wildcard matcher: `*` stands for any text, `?` for one character; everything else for
//! itself. Matching is always of the full text and case-sensitive.

/// A compiled wildcard pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Glob(Strategy);

/// The cheapest way to match a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Strategy {
    Any,
    Exact(String),
    Prefix(String),
    Suffix(String),
    Tokens(Vec<Token>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Token {
    AnyText,
    AnyCharacter,
    Literal(char),
}

impl Glob {
    /// Reads a pattern. Every text is one.
    pub fn parse(pattern: &str) -> Self {
        Self::from_tokens(pattern.chars().map(|c| match c {
            '*' => Token::AnyText,
            '?' => Token::AnyCharacter,
            literal => Token::Literal(literal),
        }))
    }

    /// Reads a pattern of parts, some of which stand for themselves, wildcard characters included.
    pub(crate) fn from_parts<'a>(parts: impl Iterator<Item = (&'a str, Wildcards)>) -> Self {
        Self::from_tokens(parts.flat_map(|(text, wildcards)| {
            text.chars().map(move |c| match (c, wildcards) {
                ('*', Wildcards::Active) => Token::AnyText,
                ('?', Wildcards::Active) => Token::AnyCharacter,
                (literal, _) => Token::Literal(literal),
            })
        }))
    }

    fn from_tokens(tokens: impl Iterator<Item = Token>) -> Self {
        let mut tokens: Vec<Token> = tokens.collect();
        tokens.dedup_by(|a, b| *a == Token::AnyText && *b == Token::AnyText);
        let literal =
            |tokens: &[Token]| -> Option<String> { tokens.iter().map(|token| token.literal()).collect() };
        let strategy = match tokens.as_slice() {
            [Token::AnyText] => Some(Strategy::Any),
            [Token::AnyText, rest @ ..] if literal(rest).is_some() => literal(rest).map(Strategy::Suffix),
            [rest @ .., Token::AnyText] if literal(rest).is_some() => literal(rest).map(Strategy::Prefix),
            all => literal(all).map(Strategy::Exact),
        };
        Self(strategy.unwrap_or(Strategy::Tokens(tokens)))
    }

    /// Whether the pattern is `*`.
    pub fn is_any(&self) -> bool {
        self.0 == Strategy::Any
    }

    /// The one text that the pattern matches, if it has no wildcard.
    pub fn as_exact(&self) -> Option<&str> {
        if let Strategy::Exact(text) = &self.0 { Some(text) } else { None }
    }

    /// What stands before the first wildcard.
    pub fn literal_prefix(&self) -> String {
        match &self.0 {
            Strategy::Any | Strategy::Suffix(_) => String::new(),
            Strategy::Exact(text) | Strategy::Prefix(text) => text.clone(),
            Strategy::Tokens(tokens) => tokens.iter().map_while(|token| token.literal()).collect(),
        }
    }

    /// What stands after the last wildcard.
    pub fn literal_suffix(&self) -> String {
        match &self.0 {
            Strategy::Any | Strategy::Prefix(_) => String::new(),
            Strategy::Exact(text) | Strategy::Suffix(text) => text.clone(),
            Strategy::Tokens(tokens) => {
                let reversed: Vec<_> = tokens.iter().rev().map_while(|token| token.literal()).collect();
                reversed.into_iter().rev().collect()
            }
        }
    }

    /// Whether some text exists that both patterns match.
    pub fn may_intersect(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.tokens(), other.tokens());
        // reachable[j]: whether the first i tokens of ours and j of theirs can match one text.
        let mut reachable: Vec<bool> = Vec::new();
        for i in 0..=ours.len() {
            let above = std::mem::take(&mut reachable);
            let ours = i.checked_sub(1).and_then(|i| ours.get(i));
            for j in 0..=theirs.len() {
                let theirs = j.checked_sub(1).and_then(|j| theirs.get(j));
                let at = |row: &[bool], j: usize| row.get(j).copied().unwrap_or(false);
                let (up, left) = (at(&above, j), j > 0 && at(&reachable, j - 1));
                let diagonal = j > 0 && at(&above, j - 1);
                reachable.push(match (ours, theirs) {
                    (None, None) => true,
                    (ours, theirs) if ours == Some(&Token::AnyText) || theirs == Some(&Token::AnyText) => {
                        // The `*` matches nothing, or one more token of the other side.
                        up || left
                    }
                    (Some(Token::Literal(a)), Some(Token::Literal(b))) => a == b && diagonal,
                    (Some(_), Some(_)) => diagonal,
                    (None, Some(_)) | (Some(_), None) => false,
                });
            }
        }
        reachable.last().copied().unwrap_or(false)
    }

    fn tokens(&self) -> Vec<Token> {
        let literals = |text: &str| text.chars().map(Token::Literal).collect::<Vec<_>>();
        match &self.0 {
            Strategy::Any => vec![Token::AnyText],
            Strategy::Exact(text) => literals(text),
            Strategy::Prefix(text) => [literals(text), vec![Token::AnyText]].concat(),
            Strategy::Suffix(text) => [vec![Token::AnyText], literals(text)].concat(),
            Strategy::Tokens(tokens) => tokens.clone(),
        }
    }

    /// Whether the pattern matches the whole of `text`.
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Strategy::Any => true,
            Strategy::Exact(exact) => text == exact,
            Strategy::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Strategy::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Strategy::Tokens(tokens) => matches_tokens(tokens, text),
        }
    }
}

impl Token {
    const fn literal(self) -> Option<char> {
        match self {
            Self::Literal(c) => Some(c),
            Self::AnyText | Self::AnyCharacter => None,
        }
    }
}

impl std::fmt::Display for Glob {
    /// The pattern, as policies write it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;
        self.tokens().into_iter().try_for_each(|token| {
            f.write_char(match token {
                Token::AnyText => '*',
                Token::AnyCharacter => '?',
                Token::Literal(c) => c,
            })
        })
    }
}

/// Whether `*` and `?` in a part of a pattern are wildcards or stand for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wildcards {
    Active,
    Literal,
}

/// Greedy matching with one point to come back to: linear in the text for each `*`.
fn matches_tokens(tokens: &[Token], text: &str) -> bool {
    let (mut rest_tokens, mut rest_text) = (tokens, text.chars());
    let mut retry: Option<(&[Token], std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = rest_text.clone();
        match (rest_tokens.split_first(), ahead.next()) {
            (None, None) => return true,
            (Some((Token::AnyText, after)), _) => {
                retry = Some((after, rest_text.clone()));
                rest_tokens = after;
                continue;
            }
            (Some((Token::AnyCharacter, after)), Some(_)) => {
                (rest_tokens, rest_text) = (after, ahead);
                continue;
            }
            (Some((Token::Literal(want), after)), Some(have)) if *want == have => {
                (rest_tokens, rest_text) = (after, ahead);
                continue;
            }
            _ => {}
        }
        let Some((after, from)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        (rest_tokens, rest_text) = (after, from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oracle(pattern: &str) -> regex::Regex {
        let body: String = pattern
            .chars()
            .map(|c| match c {
                '*' => ".*".to_owned(),
                '?' => ".".to_owned(),
                c => regex::escape(&c.to_string()),
            })
            .collect();
        regex::Regex::new(&format!(r"(?s)\A(?:{body})\z")).unwrap()
    }

    #[test]
    fn matches_the_full_text_only() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a|b", "a", false),
            ("dev:*", "prod-dev:x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?", "é", true),
            ("?", "", false),
            ("*?", "", false),
            ("**a**", "bab", true),
            ("a*", "A", false),
        ] {
            assert_eq!(Glob::parse(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn literal_parts_keep_their_wildcards() {
        let parts = [("team-", Wildcards::Active), ("*?", Wildcards::Literal), ("*", Wildcards::Active)];
        let glob = Glob::from_parts(parts.into_iter());
        assert!(glob.matches("team-*?x"));
        assert!(!glob.matches("team-abx"));
    }

    #[test]
    fn what_stands_around_the_wildcards() {
        for (pattern, prefix, suffix) in [
            ("", "", ""),
            ("*", "", ""),
            ("ab", "ab", "ab"),
            ("ab*", "ab", ""),
            ("*ab", "", "ab"),
            ("a*b?é", "a", "é"),
            ("?*", "", ""),
        ] {
            let glob = Glob::parse(pattern);
            assert_eq!((glob.literal_prefix(), glob.literal_suffix()), (prefix.into(), suffix.into()));
        }
    }

    #[test]
    fn patterns_intersect_where_a_text_matches_both() {
        for (a, b, expected) in [
            ("dev", "dev", true),
            ("dev", "prod", false),
            ("de*", "*ev", true),
            ("a*", "b*", false),
            ("*a", "a*", true),
            ("?", "ab", false),
            ("a?c", "ab*", true),
            ("*", "", true),
            ("a*b", "a*c", false),
        ] {
            assert_eq!(Glob::parse(a).may_intersect(&Glob::parse(b)), expected, "{a} {b}");
            assert_eq!(Glob::parse(b).may_intersect(&Glob::parse(a)), expected, "{b} {a}");
        }
    }

    proptest! {
        #[test]
        fn patterns_that_match_one_text_intersect(a in "[ab*?]{0,6}", b in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            let (a, b) = (Glob::parse(&a), Glob::parse(&b));
            if a.matches(&text) && b.matches(&text) {
                prop_assert!(a.may_intersect(&b), "{} {}", a, b);
            }
            prop_assert_eq!(Glob::parse(&a.to_string()), a);
        }

        #[test]
        fn agrees_with_an_anchored_regex(pattern in "[ab*?.é]{0,8}", text in "[ab.é\n]{0,10}") {
            prop_assert_eq!(Glob::parse(&pattern).matches(&text), oracle(&pattern).is_match(&text));
        }
    }
}
