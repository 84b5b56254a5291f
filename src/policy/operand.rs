//! Readings of values: numbers, dates, booleans and addresses, in policies and in claims alike.

use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

/// A number: whole ones compare exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    /// A whole number.
    Whole(i128),
    /// A fraction; always finite.
    Fraction(f64),
}

/// How numbers and dates are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `…Equals`
    Equals,
    /// `…NotEquals`
    NotEquals,
    /// `…LessThan`
    LessThan,
    /// `…LessThanEquals`
    LessThanEquals,
    /// `…GreaterThan`
    GreaterThan,
    /// `…GreaterThanEquals`
    GreaterThanEquals,
}

// Fractions are finite, so equality is an equivalence.
impl Eq for Number {}

impl Number {
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (a, b) => a.as_fraction().partial_cmp(&b.as_fraction()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "one side is a fraction: it has no more precision")]
    const fn as_fraction(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Fraction(value) => value,
        }
    }
}

impl Comparison {
    /// Whether the comparison holds; for [`Comparison::NotEquals`] whether its opposite does, since
    /// negation comes after all values (see [`Comparison::is_negated`]).
    pub(crate) fn holds(self, have: Number, want: Number) -> bool {
        let Some(order) = have.compare(want) else { return false };
        match self {
            Self::Equals | Self::NotEquals => order.is_eq(),
            Self::LessThan => order.is_lt(),
            Self::LessThanEquals => order.is_le(),
            Self::GreaterThan => order.is_gt(),
            Self::GreaterThanEquals => order.is_ge(),
        }
    }

    /// Whether the operator holds when no value matches.
    pub(crate) const fn is_negated(self) -> bool {
        matches!(self, Self::NotEquals)
    }
}

/// Reads a decimal number.
pub(crate) fn parse_number(text: &str) -> Option<Number> {
    let decimal = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if !text.chars().all(decimal) {
        return None;
    }
    if let Ok(whole) = text.parse() {
        return Some(Number::Whole(whole));
    }
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(Number::Fraction)
}

/// Reads a date: RFC 3339, a plain date (midnight UTC), or seconds since 1970-01-01 UTC.
pub(crate) fn parse_date(text: &str) -> Option<Number> {
    if let Some(seconds) = parse_number(text) {
        return Some(seconds);
    }
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(match timestamp.subsec_nanosecond() {
            0 => Number::Whole(timestamp.as_second().into()),
            _ => Number::Fraction(timestamp.as_duration().as_secs_f64()),
        });
    }
    let midnight = text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    // A civil date also reads a date and time without an offset, which names no point in time.
    (text.len() == 10).then(|| Number::Whole(midnight.timestamp().as_second().into()))
}

/// Reads `true` or `false`, in any case.
pub(crate) fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Reads an address or a network in CIDR notation. IPv4 mapped into IPv6 is IPv4.
pub(crate) fn parse_network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network = text.parse::<IpNet>().ok()?.trunc();
    let mapped = match network.addr().to_canonical() {
        IpAddr::V4(address) if network.max_prefix_len() == 128 => {
            network.prefix_len().checked_sub(96).and_then(|prefix| IpNet::new(address.into(), prefix).ok())
        }
        _ => None,
    };
    Some(mapped.unwrap_or(network))
}

/// The number that a claim is.
pub(crate) fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Some(Number::Whole(whole.into())),
            (_, Some(whole)) => Some(Number::Whole(whole.into())),
            _ => number.as_f64().filter(|value| value.is_finite()).map(Number::Fraction),
        },
        Value::String(text) => parse_number(text),
        _ => None,
    }
}

/// The point in time that a claim is, in seconds since 1970-01-01 UTC.
pub(crate) fn date(value: &Value) -> Option<Number> {
    match value {
        Value::String(text) => parse_date(text),
        other => number(other),
    }
}

/// The boolean that a claim is.
pub(crate) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => parse_boolean(text),
        _ => None,
    }
}

/// The address that a claim is.
pub(crate) fn address(value: &Value) -> Option<IpAddr> {
    value.as_str().and_then(|text| text.parse::<IpAddr>().ok()).map(|address| address.to_canonical())
}

/// Folds case for comparison. A character outside ASCII never becomes one inside it: KELVIN SIGN
/// stays apart from `k`, so that no look-alike passes for an address that people type.
pub(crate) fn fold_case(text: &str) -> String {
    let fold = |c: char| {
        let mut folded = c.to_lowercase().peekable();
        let stays = !c.is_ascii() && folded.peek().is_some_and(char::is_ascii);
        (stays.then_some(c).into_iter()).chain(folded.take_while(move |_| !stays))
    };
    text.chars().flat_map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_exactly_where_they_are_whole() {
        let compare = |a: &str, b: &str| parse_number(a)?.compare(parse_number(b)?);
        assert_eq!(compare("9007199254740993", "9007199254740992"), Some(Ordering::Greater));
        assert_eq!(compare("1.0", "1"), Some(Ordering::Equal));
        assert_eq!(compare("-2", "1e1"), Some(Ordering::Less));
        for bad in ["", "x", "nan", "inf", "1e999", "0x10", " 1", "1,5"] {
            assert_eq!(parse_number(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_points_in_time() {
        let expected = Some(Number::Whole(1_704_067_200));
        for text in ["2024-01-01T00:00:00Z", "2024-01-01", "1704067200", "2024-01-01T01:00:00+01:00"] {
            assert_eq!(parse_date(text), expected, "{text}");
        }
        for bad in ["", "2024-13-01", "tomorrow", "2024-01-01T00:00:00", "2024-01"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn networks_and_mapped_addresses() {
        let net = parse_network("10.1.2.3/8").unwrap();
        assert!(net.contains(&address(&"10.9.9.9".into()).unwrap()));
        assert!(net.contains(&address(&"::ffff:10.9.9.9".into()).unwrap()));
        assert!(!net.contains(&address(&"11.0.0.1".into()).unwrap()));
        assert_eq!(parse_network("::ffff:10.1.2.3/104"), Some(net));
        assert!(parse_network("2001:db8::/32").unwrap().contains(&address(&"2001:db8::1".into()).unwrap()));
        for bad in ["", "10.0.0.0/33", "10.0.0", "host", "10.0.0.1 "] {
            assert_eq!(parse_network(bad), None, "{bad}");
        }
    }

    #[test]
    fn case_folding_never_leads_into_ascii() {
        assert_eq!(fold_case("MÜLLER"), fold_case("müller"));
        assert_ne!(fold_case("\u{212a}im"), fold_case("kim"));
        assert_ne!(fold_case("\u{130}"), fold_case("i"));
    }
}
