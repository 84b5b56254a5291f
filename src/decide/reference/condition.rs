//! Conditions, as the AWS IAM reference and the three values give them.

use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::text::{claim, expand, is_key, marks, matches, pattern, scalar};
use super::{Question, texts};

/// What an operator asks of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ask {
    /// An exact match of a text in which nothing is a variable (`principal`).
    Literal,
    Equal,
    EqualIgnoreCase,
    Like,
    Number(&'static [Ordering]),
    Date(&'static [Ordering]),
    Bool,
    Address,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Set {
    None,
    Any,
    All,
}

struct Operator {
    set: Set,
    ask: Ask,
    negated: bool,
    if_exists: bool,
}

const LESS: &[Ordering] = &[Ordering::Less];
const LESS_OR_EQUAL: &[Ordering] = &[Ordering::Less, Ordering::Equal];
const EQUAL: &[Ordering] = &[Ordering::Equal];
const GREATER_OR_EQUAL: &[Ordering] = &[Ordering::Greater, Ordering::Equal];
const GREATER: &[Ordering] = &[Ordering::Greater];

/// Every operator without prefix and suffix, in one of its spellings; `true` where it is negated.
const OPERATORS: &[(&str, Ask, bool)] = &[
    ("StringEqual", Ask::Equal, false),
    ("StringNotEqual", Ask::Equal, true),
    ("StringEqualIgnoreCase", Ask::EqualIgnoreCase, false),
    ("StringNotEqualIgnoreCase", Ask::EqualIgnoreCase, true),
    ("StringLike", Ask::Like, false),
    ("StringNotLike", Ask::Like, true),
    ("NumericEqual", Ask::Number(EQUAL), false),
    ("NumericNotEqual", Ask::Number(EQUAL), true),
    ("NumericLessThan", Ask::Number(LESS), false),
    ("NumericLessThanEqual", Ask::Number(LESS_OR_EQUAL), false),
    ("NumericGreaterThan", Ask::Number(GREATER), false),
    ("NumericGreaterThanEqual", Ask::Number(GREATER_OR_EQUAL), false),
    ("DateEqual", Ask::Date(EQUAL), false),
    ("DateNotEqual", Ask::Date(EQUAL), true),
    ("DateLessThan", Ask::Date(LESS), false),
    ("DateLessThanEqual", Ask::Date(LESS_OR_EQUAL), false),
    ("DateGreaterThan", Ask::Date(GREATER), false),
    ("DateGreaterThanEqual", Ask::Date(GREATER_OR_EQUAL), false),
    ("Bool", Ask::Bool, false),
    ("IpAddress", Ask::Address, false),
    ("NotIpAddress", Ask::Address, true),
    ("Null", Ask::Null, false),
];

/// Kleene's AND.
pub(super) fn all(truths: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let truths: Vec<_> = truths.into_iter().collect();
    match truths {
        _ if truths.contains(&Some(false)) => Some(false),
        _ if truths.contains(&None) => None,
        _ => Some(true),
    }
}

/// Kleene's OR.
fn any(truths: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    not(all(truths.into_iter().map(not)))
}

fn not(truth: Option<bool>) -> Option<bool> {
    truth.map(|truth| !truth)
}

/// Whether a `condition` holds.
pub(super) fn truth(condition: &Value, question: &Question<'_>) -> Option<bool> {
    let operators = condition.as_object().filter(|map| !map.is_empty())?;
    all(operators.iter().map(|(name, keys)| keys_truth(&operator(name)?, keys, question)))
}

/// Whether a `principal` fits.
pub(super) fn principal(principal: &Value, question: &Question<'_>) -> Option<bool> {
    let exact = Operator { set: Set::None, ask: Ask::Literal, negated: false, if_exists: false };
    keys_truth(&exact, principal, question)
}

fn operator(name: &str) -> Option<Operator> {
    let (set, rest) = match (name.strip_prefix("ForAnyValue:"), name.strip_prefix("ForAllValues:")) {
        (Some(rest), _) => (Set::Any, rest),
        (_, Some(rest)) => (Set::All, rest),
        _ => (Set::None, name),
    };
    let base = rest.strip_suffix("IfExists").unwrap_or(rest);
    let is_meant = |known: &str| known == base || known.replace("Equal", "Equals") == base;
    let (known, ask, negated) = OPERATORS.iter().find(|(known, ..)| is_meant(known))?;
    let takes_set = set == Set::None || known.starts_with("String");
    takes_set.then_some(Operator { set, ask: *ask, negated: *negated, if_exists: base != rest })
}

fn keys_truth(operator: &Operator, keys: &Value, question: &Question<'_>) -> Option<bool> {
    let keys = keys.as_object().filter(|map| !map.is_empty())?;
    all(keys.iter().map(|(key, values)| clause(operator, key, &texts(values), question)))
}

/// One operator on one key. Where neither the key nor any value can be read, nothing can be told.
fn clause(
    operator: &Operator,
    key: &str,
    values: &[Option<String>],
    question: &Question<'_>,
) -> Option<bool> {
    let have = lookup(key, question)?;
    if !values.iter().flatten().any(|value| is_readable(operator.ask, value)) {
        return None;
    }
    let Operator { set, ask, negated, if_exists } = *operator;
    let values_truth = |have: Option<&Value>| {
        any(values.iter().map(|want| value_truth(ask, have, want.as_deref()?, question)))
    };
    let one = |have: &Value| {
        let truth = values_truth(Some(have));
        if negated { not(truth) } else { truth }
    };
    match (set, have) {
        (_, None) if if_exists => Some(true),
        (_, None) if ask == Ask::Null => values_truth(None),
        (Set::None, None) => Some(negated),
        (Set::Any, None) => Some(false),
        (Set::All, None) => None,
        (Set::None, Some(have)) => one(&have),
        (Set::Any, Some(Value::Array(items))) => any(items.iter().map(one)),
        (Set::All, Some(Value::Array(items))) if items.is_empty() => None,
        (Set::All, Some(Value::Array(items))) => all(items.iter().map(one)),
        (Set::Any | Set::All, Some(scalar)) => one(&scalar),
    }
}

/// The value of a key: none if there is no such key, `Some(None)` if it has no value.
fn lookup(key: &str, question: &Question<'_>) -> Option<Option<Value>> {
    let context = question.context;
    match key {
        "request:SourceIp" => Some(context.source_ip.map(|ip| ip.to_string().into())),
        "request:CurrentTime" => Some(Some(context.now.into())),
        "request:Method" => Some(context.method.clone().map(Value::String)),
        _ => key.strip_prefix("jwt:").filter(|name| is_key(name)).map(|name| claim(name, question.claims)),
    }
}

/// Whether a value can be read, as far as that can be told without an identity.
fn is_readable(ask: Ask, want: &str) -> bool {
    let Some(marks) = marks(want) else { return ask == Ask::Literal };
    let has_variable = marks.iter().any(|mark| matches!(mark, super::text::Mark::Claim(_)));
    match ask {
        Ask::Null => boolean(want).is_some(),
        Ask::Literal | Ask::Equal | Ask::EqualIgnoreCase | Ask::Like => true,
        _ if has_variable => true,
        Ask::Number(_) => number(want).is_some(),
        Ask::Date(_) => date(want).is_some(),
        Ask::Bool => boolean(want).is_some(),
        Ask::Address => address(want).is_some() || want.parse::<IpNet>().is_ok(),
    }
}

/// Whether a key's value (or its absence) and one value of the condition agree.
fn value_truth(ask: Ask, have: Option<&Value>, want: &str, question: &Question<'_>) -> Option<bool> {
    if ask == Ask::Null {
        return boolean(want).map(|absent| absent == have.is_none());
    }
    let have = have?;
    let expanded = || expand(&marks(want)?, question.claims);
    let text = match have {
        Value::Array(_) | Value::Object(_) | Value::Null => return None,
        Value::Number(fraction) if fraction.is_f64() && matches!(ask, Ask::Number(_) | Ask::Date(_)) => {
            fraction.to_string()
        }
        scalar_value => scalar(scalar_value)?,
    };
    match ask {
        Ask::Literal => Some(want == text),
        Ask::Equal => Some(expanded()? == text),
        Ask::EqualIgnoreCase => Some(folded(&expanded()?) == folded(&text)),
        Ask::Like => Some(matches(&pattern(&marks(want)?, question.claims, None, |_| true)?, &text)),
        Ask::Number(_) | Ask::Date(_) if have.is_boolean() => None,
        Ask::Number(orders) => compare(number(&text)?, number(&expanded()?)?, orders),
        Ask::Date(orders) => compare(date(&text)?, date(&expanded()?)?, orders),
        Ask::Bool if have.is_number() => None,
        Ask::Bool => Some(boolean(&text)? == boolean(&expanded()?)?),
        Ask::Address => contains(&expanded()?, address(&text).filter(|_| have.is_string())?),
        Ask::Null => None,
    }
}

/// A number: whole, if it is written so, and as a fraction.
type Number = (Option<i128>, f64);

fn number(text: &str) -> Option<Number> {
    let fraction: f64 = text.parse().ok()?;
    (fraction.is_finite() && !text.contains(char::is_whitespace)).then_some((text.parse().ok(), fraction))
}

fn compare(have: Number, want: Number, orders: &[Ordering]) -> Option<bool> {
    let order = match (have.0, want.0) {
        (Some(have), Some(want)) => have.cmp(&want),
        _ => have.1.partial_cmp(&want.1)?,
    };
    Some(orders.contains(&order))
}

/// Seconds since 1970-01-01 UTC, written as a number, an RFC 3339 date or a plain date.
fn date(text: &str) -> Option<Number> {
    let whole_day = || format!("{text}T00:00:00Z");
    let timestamp = |text: &str| text.parse::<jiff::Timestamp>().ok();
    number(text).or_else(|| {
        let timestamp = timestamp(text).or_else(|| timestamp(&whole_day()).filter(|_| text.len() == 10))?;
        let whole = (timestamp.subsec_nanosecond() == 0).then(|| i128::from(timestamp.as_second()));
        Some((whole, timestamp.as_duration().as_secs_f64()))
    })
}

fn boolean(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Whether an address lies in a network; IPv4 mapped into IPv6 is IPv4, in networks as well.
fn contains(network: &str, have: IpAddr) -> Option<bool> {
    if let Some(one) = address(network) {
        return Some(one == have);
    }
    match (network.parse().ok()?, have) {
        (IpNet::V6(net), IpAddr::V4(have)) => {
            let mapped = net.addr().to_ipv4_mapped().is_some() && net.prefix_len() >= 96;
            Some(mapped && net.contains(&have.to_ipv6_mapped()))
        }
        (net, have) => Some(net.contains(&have)),
    }
}

/// Lower case, except that nothing outside ASCII becomes ASCII.
fn folded(text: &str) -> String {
    let fold = |c: char| {
        let lower = c.to_lowercase().to_string();
        if !c.is_ascii() && lower.starts_with(|l: char| l.is_ascii()) { c.to_string() } else { lower }
    };
    text.chars().map(fold).collect()
}
