//! Every operator against every shape of claim.

use super::*;
use Truth::{False, Indeterminate, True};

#[track_caller]
fn check(condition: Value, claims: Value, expected: Truth) {
    assert_eq!(truth_of(&condition, &Asking::plain_with(claims.clone())), expected, "{condition} {claims}");
}

/// One operator with one list of values on the claim `x`, against values of `x`. A JSON null is an
/// absent claim.
#[track_caller]
fn check_all(operator: &str, values: Value, cases: &[(Value, Truth)]) {
    for (have, expected) in cases {
        check(json!({operator: {"jwt:x": values}}), json!({"x": have}), *expected);
    }
}

/// What holds of both spellings, with and without `IfExists`.
#[track_caller]
fn check_spellings(operator: &str, values: Value, absent: Truth, cases: &[(Value, Truth)]) {
    for operator in [operator.to_owned(), operator.replace("Equal", "Equals")] {
        check_all(&operator, values.clone(), cases);
        check_all(&operator, values.clone(), &[(json!(null), absent)]);
        check_all(&format!("{operator}IfExists"), values.clone(), cases);
        check_all(&format!("{operator}IfExists"), values.clone(), &[(json!(null), True)]);
        check(json!({&operator: {"jwt:x": values}}), json!({}), absent);
    }
}

fn negated(cases: &[(Value, Truth)]) -> Vec<(Value, Truth)> {
    cases.iter().map(|(have, truth)| (have.clone(), truth.negate())).collect()
}

#[test]
fn string_equal_is_exact_and_any_value_suffices() {
    let cases = [
        (json!("a"), True),
        (json!("b*"), True),
        (json!("A"), False),
        (json!("b"), False),
        (json!("bc"), False),
        (json!(""), False),
        (json!(["a"]), Indeterminate),
        (json!([]), Indeterminate),
        (json!({"a": "a"}), Indeterminate),
        (json!(1.5), Indeterminate),
    ];
    check_spellings("StringEqual", json!(["a", "b*"]), False, &cases);
    check_spellings("StringNotEqual", json!(["a", "b*"]), True, &negated(&cases));
}

#[test]
fn whole_numbers_and_booleans_have_a_text() {
    check_all(
        "StringEqual",
        json!(["5", "true"]),
        &[(json!(5), True), (json!(true), True), (json!(false), False)],
    );
    check_all(
        "StringEqual",
        json!([5, true]),
        &[(json!("5"), True), (json!("true"), True), (json!(6), False)],
    );
    check_all("StringEqual", json!(5), &[(json!(5.0), Indeterminate), (json!(u64::MAX), False)]);
}

#[test]
fn string_equal_ignore_case_folds_letters_but_never_into_ascii() {
    let cases = [
        (json!("KIM"), True),
        (json!("kim"), True),
        (json!("MÜLLER"), True),
        (json!("\u{212a}im"), False),
        (json!("ki"), False),
        (json!(["kim"]), Indeterminate),
    ];
    check_spellings("StringEqualIgnoreCase", json!(["Kim", "müller"]), False, &cases);
    check_spellings("StringNotEqualIgnoreCase", json!(["Kim", "müller"]), True, &negated(&cases));
}

#[test]
fn string_like_is_a_glob_over_the_full_text() {
    let cases = [
        (json!("team-a"), True),
        (json!("team-"), True),
        (json!("xteam-a"), False),
        (json!("TEAM-a"), False),
        (json!("p1"), True),
        (json!("p12"), False),
        (json!(["p1"]), Indeterminate),
    ];
    check_spellings("StringLike", json!(["team-*", "p?"]), False, &cases);
    check_spellings("StringNotLike", json!(["team-*", "p?"]), True, &negated(&cases));
}

#[test]
fn for_any_value_needs_one_member() {
    let like = [
        (json!(["x", "dev-a"]), True),
        (json!(["x"]), False),
        (json!([]), False),
        (json!(null), False),
        (json!("dev-a"), True),
        (json!("x"), False),
        (json!(["x", 1.5]), Indeterminate),
        (json!(["dev-a", 1.5]), True),
        (json!([["dev-a"]]), Indeterminate),
        (json!([null]), Indeterminate),
        (json!({}), Indeterminate),
    ];
    check_all("ForAnyValue:StringLike", json!("dev-*"), &like);
    let not_equal = [
        (json!(["a", "x"]), True),
        (json!(["a", "b"]), False),
        (json!([]), False),
        (json!(null), False),
        (json!("x"), True),
    ];
    check_all("ForAnyValue:StringNotEquals", json!(["a", "b"]), &not_equal);
    check_all("ForAnyValue:StringEqualsIfExists", json!("a"), &[(json!(null), True), (json!([]), False)]);
}

#[test]
fn for_all_values_needs_every_member_and_at_least_one() {
    let equal = [
        (json!(["a", "b", "a"]), True),
        (json!(["a", "x"]), False),
        (json!([]), Indeterminate),
        (json!(null), Indeterminate),
        (json!("a"), True),
        (json!("x"), False),
        (json!(["a", 1.5]), Indeterminate),
        (json!(["x", 1.5]), False),
    ];
    check_all("ForAllValues:StringEqual", json!(["a", "b"]), &equal);
    let not_like = [(json!(["x", "y"]), True), (json!(["x", "a"]), False), (json!(null), Indeterminate)];
    check_all("ForAllValues:StringNotLike", json!("a*"), &not_like);
    check_all(
        "ForAllValues:StringLikeIfExists",
        json!("a"),
        &[(json!(null), True), (json!([]), Indeterminate)],
    );
}

#[test]
fn numbers_are_compared_as_numbers() {
    let about_five = |less, equal, greater| {
        [
            (json!(4), less),
            (json!(-1), less),
            (json!(4.5), less),
            (json!("4"), less),
            (json!(5), equal),
            (json!(5.0), equal),
            (json!("5"), equal),
            (json!("05"), equal),
            (json!(6), greater),
            (json!("1e1"), greater),
            (json!("x"), Indeterminate),
            (json!(""), Indeterminate),
            (json!(true), Indeterminate),
            (json!([5]), Indeterminate),
        ]
    };
    check_spellings("NumericEqual", json!("5"), False, &about_five(False, True, False));
    check_spellings("NumericNotEqual", json!("5"), True, &about_five(True, False, True));
    check_spellings("NumericLessThan", json!("5"), False, &about_five(True, False, False));
    check_spellings("NumericLessThanEqual", json!(5), False, &about_five(True, True, False));
    check_spellings("NumericGreaterThan", json!("5.0"), False, &about_five(False, False, True));
    check_spellings("NumericGreaterThanEqual", json!("5"), False, &about_five(False, True, True));
    check_all("NumericEquals", json!(["4", "6"]), &[(json!(6), True), (json!(5), False)]);
    check_all("NumericNotEquals", json!(["4", "6"]), &[(json!(6), False), (json!(5), True)]);
    let large = 9_007_199_254_740_993_u64;
    check_all("NumericEquals", json!(large - 1), &[(json!(large), False), (json!(large - 1), True)]);
}

#[test]
fn dates_are_compared_as_points_in_time() {
    let about_new_year = |before, equal, after| {
        [
            (json!("2023-12-31T23:59:59Z"), before),
            (json!("2024-01-01"), equal),
            (json!("2024-01-01T01:00:00+01:00"), equal),
            (json!(1_704_067_200), equal),
            (json!("1704067200"), equal),
            (json!("2024-01-01T00:00:00.5Z"), after),
            (json!("2024-01-02"), after),
            (json!("2024-01-01T00:00:00"), Indeterminate),
            (json!("tomorrow"), Indeterminate),
            (json!(["2024-01-01"]), Indeterminate),
            (json!(true), Indeterminate),
        ]
    };
    let date = || json!("2024-01-01T00:00:00Z");
    check_spellings("DateEqual", date(), False, &about_new_year(False, True, False));
    check_spellings("DateNotEqual", date(), True, &about_new_year(True, False, True));
    check_spellings("DateLessThan", date(), False, &about_new_year(True, False, False));
    check_spellings("DateLessThanEqual", date(), False, &about_new_year(True, True, False));
    check_spellings("DateGreaterThan", date(), False, &about_new_year(False, False, True));
    check_spellings("DateGreaterThanEqual", date(), False, &about_new_year(False, True, True));
}

#[test]
fn bool_reads_booleans_and_their_texts() {
    let cases = [
        (json!(true), True),
        (json!("True"), True),
        (json!(false), False),
        (json!("false"), False),
        (json!("yes"), Indeterminate),
        (json!(1), Indeterminate),
        (json!([true]), Indeterminate),
    ];
    check_spellings("Bool", json!(true), False, &cases);
    check_spellings("Bool", json!("TRUE"), False, &cases);
    check_all("Bool", json!([true, false]), &[(json!(false), True), (json!(null), False)]);
}

#[test]
fn null_asks_whether_the_key_is_absent() {
    let present = [json!("a"), json!(""), json!([]), json!({}), json!(false)];
    for have in present {
        check_all("Null", json!("true"), &[(have.clone(), False)]);
        check_all("Null", json!(false), &[(have.clone(), True)]);
        check_all("NullIfExists", json!("true"), &[(have, False)]);
    }
    check_all("Null", json!("true"), &[(json!(null), True)]);
    check_all("Null", json!("false"), &[(json!(null), False)]);
    check_all("Null", json!(["true", "false"]), &[(json!(null), True), (json!("a"), True)]);
    check_all("NullIfExists", json!("false"), &[(json!(null), True), (json!("a"), True)]);
    check_all("Null", json!("maybe"), &[(json!(null), Indeterminate), (json!("a"), Indeterminate)]);
}

#[test]
fn addresses_lie_in_networks() {
    let cases = [
        (json!("10.9.9.9"), True),
        (json!("::ffff:10.9.9.9"), True),
        (json!("192.0.2.1"), True),
        (json!("192.0.2.2"), False),
        (json!("2001:db8::1"), True),
        (json!("2001:db9::1"), False),
        (json!("::a09:909"), False),
        (json!("10.9.9.9/32"), Indeterminate),
        (json!("host"), Indeterminate),
        (json!(167_772_161), Indeterminate),
        (json!(["10.9.9.9"]), Indeterminate),
    ];
    let networks = json!(["10.1.2.3/8", "192.0.2.1", "2001:db8::/32"]);
    check_spellings("IpAddress", networks.clone(), False, &cases);
    check_spellings("NotIpAddress", networks, True, &negated(&cases));
    check_all(
        "IpAddress",
        json!("::ffff:10.0.0.0/104"),
        &[(json!("10.9.9.9"), True), (json!("11.0.0.1"), False)],
    );
    check_all("IpAddress", json!("::/0"), &[(json!("10.9.9.9"), False), (json!("::2"), True)]);
}

#[test]
fn the_circumstances_of_the_request_are_keys() {
    check(json!({"IpAddress": {"request:SourceIp": "10.0.0.0/8"}}), json!({}), True);
    check(json!({"NotIpAddress": {"request:SourceIp": "10.0.0.0/8"}}), json!({}), False);
    check(json!({"DateLessThan": {"request:CurrentTime": "2024-01-01T00:00:01Z"}}), json!({}), True);
    check(json!({"DateLessThan": {"request:CurrentTime": "2024-01-01T00:00:00Z"}}), json!({}), False);
    check(json!({"StringEqual": {"request:Method": ["GET", "HEAD"]}}), json!({}), True);
    let nothing = Context { now: 0, ..Context::default() };
    let asking = Asking { context: nothing, ..Asking::plain() };
    assert_eq!(truth_of(&json!({"IpAddress": {"request:SourceIp": "0.0.0.0/0"}}), &asking), False);
    assert_eq!(truth_of(&json!({"NotIpAddress": {"request:SourceIp": "0.0.0.0/0"}}), &asking), True);
    assert_eq!(truth_of(&json!({"Null": {"request:Method": "true"}}), &asking), True);
}

#[test]
fn claims_are_named_exactly_or_by_pointer() {
    let claims = json!({
        "https://idp/roles": "a", "realm_access": {"roles": ["dev", "ops"]}, "a/b": {"~": "tilde"},
        "nothing": null, "fed:iss": "forged", "policy": "root", "realm_access.roles": "dotted",
    });
    for (key, value) in [
        ("jwt:https://idp/roles", "a"),
        ("jwt:/realm_access/roles/1", "ops"),
        ("jwt:/a~1b/~0", "tilde"),
        ("jwt:realm_access.roles", "dotted"),
        ("jwt:/sub", "alice"),
        ("jwt:iss", "https://idp"),
    ] {
        check(json!({"StringEqual": {key: value}}), claims.clone(), True);
    }
    check(json!({"ForAnyValue:StringEqual": {"jwt:/realm_access/roles": "dev"}}), claims.clone(), True);
    for absent in
        ["jwt:nothing", "jwt:fed:iss", "jwt:policy", "jwt:Sub", "jwt:/realm_access/roles/2", "jwt:a/b/c"]
    {
        check(json!({"Null": {absent: "true"}}), claims.clone(), True);
    }
}

#[test]
fn operators_and_keys_are_joined_by_and() {
    let claims = json!({"x": "a", "y": "b", "l": ["a"]});
    let (yes, no, unsure) = (json!({"jwt:x": "a"}), json!({"jwt:x": "b"}), json!({"jwt:l": "a"}));
    check(json!({"StringEqual": {"jwt:x": "a", "jwt:y": "b"}}), claims.clone(), True);
    check(json!({"StringEqual": {"jwt:x": "a", "jwt:y": "a"}}), claims.clone(), False);
    check(json!({"StringEqual": yes, "StringEquals": no}), claims.clone(), False);
    check(json!({"StringEqual": yes, "StringEquals": unsure}), claims.clone(), Indeterminate);
    check(json!({"StringEqual": no, "StringEquals": unsure}), claims, False);
}

#[test]
fn what_cannot_be_read_is_neither_true_nor_false() {
    let claims = json!({"x": "a"});
    for unreadable in [
        json!({}),
        json!(null),
        json!([]),
        json!("jwt:x"),
        json!({"StringMatch": {"jwt:x": "a"}}),
        json!({"stringEqual": {"jwt:x": "a"}}),
        json!({"ForAnyValue:Bool": {"jwt:x": "true"}}),
        json!({"ForAllValues:NumericEquals": {"jwt:x": "1"}}),
        json!({"ForSomeValues:StringEqual": {"jwt:x": "a"}}),
        json!({"StringEqual": {}}),
        json!({"StringEqual": null}),
        json!({"StringEqual": ["jwt:x"]}),
        json!({"StringEqual": {"jwt:x": []}}),
        json!({"StringEqual": {"jwt:x": null}}),
        json!({"StringEqual": {"jwt:x": {}}}),
        json!({"StringEqual": {"jwt:x": 1.5}}),
        json!({"StringEqual": {"x": "a"}}),
        json!({"StringEqual": {"jwt:": "a"}}),
        json!({"StringEqual": {"jwt:exp": "a"}}),
        json!({"StringEqual": {"jwt:/iat": "a"}}),
        json!({"StringEqual": {"request:Path": "a"}}),
        json!({"StringEqual": {"jwt:x": "${jwt:x"}}),
        json!({"StringEqual": {"jwt:x": "${user}"}}),
        json!({"StringEqual": {"jwt:x": "${jwt:jti}"}}),
        json!({"NumericEquals": {"jwt:x": "five"}}),
        json!({"DateEquals": {"jwt:x": "2024-13-01"}}),
        json!({"IpAddress": {"jwt:x": "10.0.0.0/33"}}),
        json!({"Bool": {"jwt:x": "yes"}}),
    ] {
        check(unreadable.clone(), claims.clone(), Indeterminate);
        let mut excluded = map(unreadable.as_object().map_or(json!({"Bogus": {}}), |map| json!(map)));
        excluded.insert("StringLike".into(), json!({"jwt:x": "b"}));
        check(json!(excluded), claims.clone(), False);
    }
}

#[test]
fn an_unreadable_value_among_others_may_match_anything() {
    check_all(
        "StringEqual",
        json!(["a", 1.5]),
        &[(json!("a"), True), (json!("b"), Indeterminate), (json!(null), False)],
    );
    check_all("StringNotEqual", json!(["a", 1.5]), &[(json!("a"), False), (json!("b"), Indeterminate)]);
    check_all("NumericEquals", json!(["5", "x"]), &[(json!(5), True), (json!(6), Indeterminate)]);
    check_all("Null", json!(["true", "x"]), &[(json!(null), True), (json!("a"), Indeterminate)]);
}

#[test]
fn without_a_readable_value_nothing_is_known_even_of_an_absent_claim() {
    for values in [json!([]), json!(null), json!([1.5]), json!("${x}")] {
        for operator in ["StringEqual", "StringNotEqual", "StringLikeIfExists", "ForAnyValue:StringEqual"] {
            check_all(operator, values.clone(), &[(json!(null), Indeterminate), (json!("a"), Indeterminate)]);
        }
    }
}

#[test]
fn variables_stand_for_the_claims_own_text() {
    let value = |operator: &str, value: &str, have: &str, org: Value, expected| {
        check(json!({operator: {"jwt:x": value}}), json!({"x": have, "org": org}), expected);
    };
    value("StringEqual", "${jwt:org}", "acme", json!("acme"), True);
    value("StringEqual", "a-${jwt:org}-b", "a-acme-b", json!("acme"), True);
    value("StringEqual", "${jwt:org}", "7", json!(7), True);
    value("StringEqual", "${jwt:org}", "true", json!(true), True);
    value("StringEqual", "${jwt:org}", "acme", json!(null), Indeterminate);
    value("StringEqual", "${jwt:org}", "acme", json!(["acme"]), Indeterminate);
    value("StringEqual", "${jwt:org}", "1.5", json!(1.5), Indeterminate);
    value("StringNotEqual", "${jwt:org}", "acme", json!(null), Indeterminate);
    value("StringEqualIgnoreCase", "${jwt:org}", "ACME", json!("acme"), True);
    value("StringLike", "${jwt:org}-*", "acme-x", json!("acme"), True);
    value("StringLike", "${jwt:org}", "acme", json!("*"), False);
    value("StringLike", "${jwt:org}", "*", json!("*"), True);
    value("StringLike", "${jwt:org}", "a", json!("?"), False);
    value("StringLike", "${jwt:org}", "${jwt:x}", json!("${jwt:x}"), True);
    value("NumericLessThan", "${jwt:org}", "5", json!(6), True);
    value("NumericLessThan", "${jwt:org}", "5", json!("six"), Indeterminate);
    value("IpAddress", "${jwt:org}/8", "10.1.1.1", json!("10.0.0.0"), True);
    check(json!({"StringEqual": {"jwt:x": ["a", "${jwt:gone}"]}}), json!({"x": "a"}), True);
    check(json!({"StringEqual": {"jwt:x": ["b", "${jwt:gone}"]}}), json!({"x": "a"}), Indeterminate);
}
