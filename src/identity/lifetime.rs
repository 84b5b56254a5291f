//! Token lifetimes, written as Go writes durations (`time.ParseDuration`): `30m`, `1h30m`, `1.5h`.

use std::time::Duration;

/// The shortest lifetime that is accepted.
pub const MIN: Duration = Duration::from_secs(1);

/// The lifetime of a token whose issuer's registration states none.
pub const DEFAULT: Duration = Duration::from_secs(30 * 60);

/// The longest duration that Go can hold, in nanoseconds: about 292 years.
const MAX_NANOS: u128 = i64::MAX as u128;

/// Units by suffix, in nanoseconds. A longer suffix stands before one that begins it.
const UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A text that is not a token lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLifetime {
    /// Not Go's duration syntax.
    #[error("not a duration: write numbers with units, such as `30m`, `1h30m` or `12h`")]
    Syntax,
    /// Zero, negative, or below [`MIN`].
    #[error("too short: a token lives for at least `1s`")]
    TooShort,
    /// More than Go can hold.
    #[error("too long: a duration is at most about 292 years")]
    TooLong,
}

/// The units that a lifetime may have.
pub fn units() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|(unit, _)| *unit)
}

/// Reads a token lifetime in Go's duration syntax.
///
/// # Errors
/// Text in another syntax (spaces, a number without its unit), and a duration that is below one
/// second, negative ones included, or that Go could not hold.
pub fn parse(text: &str) -> Result<Duration, InvalidLifetime> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let nanos = if unsigned == "0" { 0 } else { parse_terms(unsigned)? };
    let duration = Duration::from_nanos(u64::try_from(nanos).map_err(|_| InvalidLifetime::TooLong)?);
    if negative || duration < MIN { Err(InvalidLifetime::TooShort) } else { Ok(duration) }
}

fn parse_terms(mut rest: &str) -> Result<u128, InvalidLifetime> {
    if rest.is_empty() {
        return Err(InvalidLifetime::Syntax);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(InvalidLifetime::Syntax);
        }
        let (unit, after) = unit(after).ok_or(InvalidLifetime::Syntax)?;
        let term = number(whole)?.checked_mul(unit).ok_or(InvalidLifetime::TooLong)?;
        total = total.saturating_add(term).saturating_add(fraction_nanos(fraction, unit));
        if total > MAX_NANOS {
            return Err(InvalidLifetime::TooLong);
        }
        rest = after;
    }
    Ok(total)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn unit(text: &str) -> Option<(u128, &str)> {
    UNITS.iter().find_map(|&(suffix, nanos)| text.strip_prefix(suffix).map(|rest| (nanos, rest)))
}

fn number(digits: &str) -> Result<u128, InvalidLifetime> {
    if digits.is_empty() { Ok(0) } else { digits.parse().map_err(|_| InvalidLifetime::TooLong) }
}

/// The part below one unit, in whole nanoseconds; what is smaller is cut off, as Go does.
fn fraction_nanos(digits: &str, unit: u128) -> u128 {
    let (mut numerator, mut divisor) = (0, 1);
    // Fifteen digits are below a nanosecond for every unit.
    for digit in digits.bytes().take(15) {
        numerator = numerator * 10 + u128::from(digit.saturating_sub(b'0'));
        divisor *= 10;
    }
    numerator * unit / divisor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, millis) in [
            ("30m", 1_800_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("12h", 43_200_000),
            ("+90s", 90_000),
            (".5m", 30_000),
            ("2.s", 2_000),
            ("1s300ms", 1_300),
            ("1500000us", 1_500),
            ("1500000\u{b5}s", 1_500),
            ("0h1s", 1_000),
            ("1.000000000000000000001s", 1_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_other_syntax() {
        for text in
            ["", " 1h", "1h ", "1 h", "30", "1d", "1H", "h", ".h", "+", "1e3s", "--1s", "PT1H", "1h-1m"]
        {
            assert_eq!(parse(text), Err(InvalidLifetime::Syntax), "{text}");
        }
    }

    #[test]
    fn refuses_lifetimes_out_of_range() {
        for text in ["0", "0s", "-1h", "300ms", "999999999ns", "-0"] {
            assert_eq!(parse(text), Err(InvalidLifetime::TooShort), "{text}");
        }
        for text in ["2562048h", "99999999999999999999999999999999999999999h", "9223372036854775808ns"] {
            assert_eq!(parse(text), Err(InvalidLifetime::TooLong), "{text}");
        }
        assert!(parse("9223372036854775807ns").is_ok());
    }
}
