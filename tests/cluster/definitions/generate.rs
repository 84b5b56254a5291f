//! Random objects that the types of OpenFaaS allow, a good part of which cannot be read.

use anyhow::{Result, anyhow};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

/// So many objects, the same ones each time: kind and spec.
pub(super) fn objects(count: usize) -> Result<Vec<(&'static str, Value)>> {
    let mut runner = TestRunner::deterministic();
    let any = prop_oneof![
        1 => jwt_issuer().prop_map(|spec| ("JwtIssuer", spec)),
        3 => policy().prop_map(|spec| ("Policy", spec)),
        2 => role().prop_map(|spec| ("Role", spec)),
    ];
    let one = |_| Ok(any.new_tree(&mut runner).map_err(|error| anyhow!("{error}"))?.current());
    (0..count).map(one).collect()
}

/// One of these, seldom one of those.
fn mostly(
    good: &'static [&'static str],
    bad: &'static [&'static str],
) -> impl Strategy<Value = String> + Clone {
    prop_oneof![19 => select(good), 1 => select(bad)].prop_map(str::to_owned)
}

fn some<T: std::fmt::Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    let one = std::rc::Rc::new(one);
    prop_oneof![1 => vec(std::rc::Rc::clone(&one), 0..1), 19 => vec(one, 1..3)]
}

fn jwt_issuer() -> impl Strategy<Value = Value> {
    let url = || {
        prop_oneof![
            4 => mostly(&["https://idp", "https://idp.example.com:8443/a/b", "HTTPS://idp/"], &["http://idp"]),
            1 => "(https|http|HTTP|ftp)(://|:)(idp|localhost|127\\.0\\.0\\.1|\\[::1\\]|a@b|)(:80|:)?(/a%20b| |/é|)(\\?a|#|)",
        ]
    };
    let expiry = mostly(
        &["30m", "1h30m", "1.5h", ".5m", "2.s", "+90s", "1500000µs"],
        &["", "5", "1d", "0s", "-1h", "999ms"],
    );
    (url(), some(mostly(&["x", ""], &["y"])), proptest::option::of(url()), proptest::option::of(expiry))
        .prop_map(|(iss, aud, internal, expiry)| {
            let mut spec = json!({"iss": iss, "aud": aud});
            internal.into_iter().for_each(|url| spec["issInternal"] = url.into());
            expiry.into_iter().for_each(|text| spec["tokenExpiry"] = text.into());
            spec
        })
}

fn policy() -> impl Strategy<Value = Value> {
    let action = mostly(
        &["*", "Function:*", "Function:Invoke", "*:List", "F?nction:*", "Secret:*e", "IAM:Review", "S*"],
        &["Function:Read", "function:list", "", "Functions:*", "*:Lis", "Secret:R*", "Function.*"],
    );
    let resource = prop_oneof![
        9 => mostly(
            &["*", "dev:*", "a$b:c", "${jwt:org}:x", "t-${jwt:https://x/y}-*:?", "*:*", "$:$"],
            &["dev", "a:b:c", ":a", "a:", "${user}:x", "${jwt:exp}:a", "${jwt:}:a", "${jwt:a:b", "${jwt:/iat/x}:*", ""],
        ),
        1 => r"([a:*$}]|\$\{jwt:(x|exp|/a|/jti)\}){1,5}",
    ];
    let statement = (
        mostly(&["Allow", "Deny"], &["deny", ""]),
        some(action),
        some(resource),
        proptest::option::of(condition()),
    )
        .prop_map(|(effect, action, resource, condition)| {
            let mut statement = json!({"sid": "s", "effect": effect, "action": action, "resource": resource});
            condition.into_iter().for_each(|condition| statement["condition"] = condition);
            statement
        });
    vec(statement, 0..3).prop_map(|statements| json!({"statement": statements}))
}

fn role() -> impl Strategy<Value = Value> {
    let texts = some("[a*${}]{0,3}").prop_map(Value::from);
    let parts = (
        proptest::option::of(some(mostly(&["p", "q"], &[""])).prop_map(Value::from)),
        proptest::option::of(map(key(), texts)),
        proptest::option::of(condition()),
    );
    parts.prop_map(|(policy, principal, condition)| {
        let named = [("policy", policy), ("principal", principal), ("condition", condition)];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    })
}

fn key() -> impl Strategy<Value = String> + Clone {
    mostly(
        &[
            "jwt:sub",
            "jwt:/a/b",
            "jwt:urn:x",
            "jwt:expo",
            "jwt:/exp1",
            "jwt:/",
            "jwt:a/exp",
            "request:Method",
            "request:SourceIp",
        ],
        &["sub", "jwt:", "jwt:exp", "jwt:/nbf", "jwt:/jti/a", "request:Path", "JWT:sub", ""],
    )
}

/// An operator with values that mostly suit it.
fn condition() -> impl Strategy<Value = Value> {
    let operator =
        |names: &'static [&'static str], good: &'static [&'static str], bad: &'static [&'static str]| {
            (
                mostly(names, &["StringMatch", "ForAnyValue:Bool", "Stringequal", "IfExists", "BoolEquals"]),
                map(key(), some(mostly(good, bad)).prop_map(Value::from)),
            )
        };
    let any = prop_oneof![
        operator(
            &[
                "StringEqual",
                "StringEquals",
                "ForAnyValue:StringLike",
                "ForAllValues:StringNotEqualsIgnoreCaseIfExists",
                "StringNotLike"
            ],
            &["a", "*", "", "$", "${jwt:sub}", "x${jwt:/a/b}$$y", "}{"],
            &["${user}", "${jwt:}", "${jwt:iat}", "a${", "${jwt:x"],
        ),
        operator(
            &["NumericEquals", "NumericLessThanEqualsIfExists", "NumericNotEqual", "NumericGreaterThan"],
            &["1", "-2.5", "+1e3", ".5", "5.", "${jwt:n}", "123456789012345678901234567890"],
            &["", "x", "1,5", "0x1", " 1", "1e", "."],
        ),
        operator(
            &["DateLessThan", "DateEqualsIfExists", "DateGreaterThanEqual"],
            &[
                "2026-01-31",
                "2026-01-31T12:00:00Z",
                "2026-01-31t12:00:00.5z",
                "2026-01-31T12:00:00-05:00",
                "1767225600",
                "${jwt:d}"
            ],
            &["", "tomorrow", "2026-13-01", "2026-01", "2026-01-31T12:00:00", "2026-01-31T"],
        ),
        operator(&["Bool", "BoolIfExists"], &["true", "FALSE", "${jwt:b}"], &["yes", "1", ""]),
        operator(&["Null", "NullIfExists"], &["true", "False"], &["${jwt:b}", "no", ""]),
        operator(
            &["IpAddress", "NotIpAddress", "IpAddressIfExists"],
            &["10.0.0.1", "10.1.2.3/8", "::1", "2001:db8::/32", "::ffff:10.0.0.1", "${jwt:ip}"],
            &["", "10.0.0.0/33", "10.0.0", "host", "10.0.0.1 ", "::/129"],
        ),
    ];
    prop_oneof![1 => Just(json!({})), 19 => vec(any, 1..3).prop_map(|all| Value::Object(Map::from_iter(all)))]
}

fn map(
    key: impl Strategy<Value = String>,
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Value> {
    let entries = std::rc::Rc::new((key, value));
    prop_oneof![1 => vec(std::rc::Rc::clone(&entries), 0..1), 19 => vec(entries, 1..3)]
        .prop_map(|all| Value::Object(Map::from_iter(all)))
}
