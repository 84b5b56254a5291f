//! What a token says, once its form is sound.

use super::*;

#[test]
fn registered_claims_have_their_types() {
    let bed = bed();
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!("1700000600"),
            json!(-1),
            json!(-0.5),
            json!(null),
            json!(true),
            json!([1]),
            json!({}),
            json!(1e300),
            json!(u64::MAX),
        ] {
            bed.refused_claims(json!({name: value}), Reason::MalformedToken);
        }
        let huge = with(claims(), json!({name: "1e400"})).to_string().replace("\"1e400\"", "1e400");
        bed.refused(&bed.key.token_of(&bed.key.header().to_string(), &huge), Reason::MalformedToken);
    }
    bed.refused_claims(json!({"exp": "absent"}), Reason::MalformedToken);
    for name in ["iss", "sub"] {
        for value in [json!("absent"), json!(""), json!(null), json!(1), json!(["x"]), json!({})] {
            bed.refused_claims(json!({name: value}), Reason::MalformedToken);
        }
    }
    let fractions = json!({"exp": NOW as f64 + 0.5, "iat": NOW as f64 - 0.25, "nbf": NOW as f64});
    assert_eq!(bed.foreign(&bed.key.token(&with(claims(), fractions))).unwrap().exp, NOW);
    assert!(bed.foreign(&bed.key.token(&with(claims(), json!({"iat": "absent"})))).is_ok());
}

#[test]
fn the_audience_is_a_text_or_a_list_of_texts_and_must_be_shared() {
    let bed = bed();
    for value in [
        json!("absent"),
        json!(null),
        json!(""),
        json!([]),
        json!(["faas", 1]),
        json!(["faas", ""]),
        json!(["faas", null]),
        json!([["faas"]]),
        json!({"faas": true}),
        json!(1),
    ] {
        bed.refused_claims(json!({"aud": value}), Reason::MalformedToken);
    }
    for value in [json!("Faas"), json!("faas "), json!(["other"]), json!("other faas"), json!("faa")] {
        let rejection = bed.refused_claims(json!({"aud": value}), Reason::AudienceMismatch);
        assert!(rejection.refetch.is_none());
    }
    for value in [json!("faas"), json!(["faas"]), json!(["other", "faas"])] {
        let foreign =
            bed.foreign(&bed.key.token(&with(claims(), json!({"aud": value, "azp": "cli"})))).unwrap();
        assert_eq!(foreign.principal.claims.get("aud"), Some(&value), "the original shape is kept");
    }
}

#[test]
fn issuers_are_compared_byte_for_byte() {
    let bed = bed();
    for iss in [
        "https://idp.example.com/",
        "https://IDP.example.com",
        "http://idp.example.com",
        "idp.example.com",
        "https://idp.example.com:443",
        "https://idp\u{ff0e}example.com",
        " https://idp.example.com",
    ] {
        let rejection = bed.refused_claims(json!({"iss": iss}), Reason::UnknownIssuer);
        assert!(rejection.refetch.is_none(), "nothing is ever fetched for an unregistered issuer");
    }
}

#[test]
fn our_own_url_is_no_identity_provider() {
    let bed = bed();
    bed.refused_claims(json!({"iss": OURS, "aud": OURS}), Reason::UnknownIssuer);
    bed.refused(&bed.ours.token(&own_claims()), Reason::UnknownIssuer);
    let forged = bed.key.token_with(&bed.ours.header(), &own_claims());
    assert_eq!(bed.own(&forged).unwrap_err().reason, Reason::BadSignature);
}

#[test]
fn the_same_kid_at_two_issuers_is_two_keys() {
    let (bed, other) = (bed(), TestKey::es256("k1"));
    let mut issuers = bed.issuers.clone();
    issuers.register("https://other", None, [registration("other", "faas")]);
    issuers.set_keys("https://other", Some(key_set([&other])));
    let theirs = with(claims(), json!({"iss": "https://other"}));
    let accepted = verify_foreign(&other.token(&theirs), &issuers, NOW).unwrap();
    assert_eq!(accepted.issuer.name, "other");
    let ours = bed.foreign(&bed.key.token(&claims())).unwrap();
    assert_ne!(ours.principal, accepted.principal, "the same subject at two issuers is two people");
    for token in [other.token(&claims()), bed.key.token(&theirs)] {
        assert_eq!(verify_foreign(&token, &issuers, NOW).unwrap_err().reason, Reason::BadSignature);
    }
}

#[test]
fn times_have_30_seconds_of_leeway_and_our_own_exp_none() {
    let bed = bed();
    let foreign =
        |members: Value| bed.foreign(&bed.key.token(&with(claims(), members))).map_err(|r| r.reason);
    let own = |members: Value| bed.own(&bed.ours.token(&with(own_claims(), members))).map_err(|r| r.reason);
    for (exp, accepted) in [(NOW - 31, false), (NOW - 30, false), (NOW - 29, true), (NOW, true)] {
        assert_eq!(foreign(json!({"exp": exp})).is_ok(), accepted, "exp {}", exp - NOW);
    }
    for (exp, accepted) in [(NOW - 1, false), (NOW, false), (NOW + 1, true)] {
        assert_eq!(own(json!({"exp": exp})).is_ok(), accepted, "own exp {}", exp - NOW);
    }
    for name in ["nbf", "iat"] {
        for (time, accepted) in [(NOW + 29, true), (NOW + 30, true), (NOW + 31, false)] {
            assert_eq!(foreign(json!({name: time})).is_ok(), accepted, "{name} {}", time - NOW);
            assert_eq!(own(json!({name: time})).is_ok(), accepted, "own {name} {}", time - NOW);
        }
    }
    assert_eq!(foreign(json!({"exp": 0})).unwrap_err(), Reason::TokenExpired);
    assert_eq!(foreign(json!({"nbf": NOW + 31})).unwrap_err(), Reason::TokenNotYetValid);
    let told = bed.refused_claims(json!({"exp": NOW - 100}), Reason::TokenExpired).description;
    assert_eq!(told, "the token expired at 2023-11-14T22:11:40Z: get a new one");
}

#[test]
fn claims_that_are_ours_are_dropped_from_a_foreign_token() {
    let bed = bed();
    let forged = json!({"policy": ["root"], "function": {"permissions": ["*"], "audience": []}, "fed:iss": OURS,
                        "fed:claims": {"groups": ["admin"]}, "fed:x": 1, "groups": ["dev"], "jti": "1"});
    let foreign = bed.foreign(&bed.key.token(&with(claims(), forged))).unwrap();
    let names: Vec<_> = foreign.principal.claims.as_map().keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "groups", "iss", "sub"]);
}

#[test]
fn our_own_token_gives_back_the_original_identity() {
    let bed = bed();
    let own = bed.own(&bed.ours.token(&own_claims())).unwrap();
    assert_eq!((own.kind, own.issuer.name.as_str(), own.exp), (TokenKind::Api, "idp", NOW + 600));
    let original = json!({"iss": IDP, "sub": "alice", "aud": ["x", "faas"], "org": "dev"});
    assert_eq!(Value::Object(own.principal.claims.as_map().clone()), original);
    assert_eq!((own.principal.issuer.as_str(), own.principal.subject.as_str()), (IDP, "alice"));

    let function = bed.own(&bed.ours.token(&function_claims())).unwrap();
    let kind = TokenKind::Function { permissions: vec!["dev:*".into()], audience: vec![] };
    assert_eq!(function.kind, kind);
    let original = json!({"iss": IDP, "sub": "alice", "aud": "faas", "org": "dev"});
    assert_eq!(Value::Object(function.principal.claims.as_map().clone()), original);
}

#[test]
fn our_own_token_must_have_the_shape_that_we_write() {
    let bed = bed();
    for members in [
        json!({"sub": "alice"}),
        json!({"sub": "fed:"}),
        json!({"fed:iss": "absent"}),
        json!({"fed:iss": 1}),
        json!({"fed:aud": "absent"}),
        json!({"fed:aud": []}),
        json!({"fed:claims": {}}),
        json!({"function": {"permissions": [], "audience": []}}),
    ] {
        bed.refused_own(with(own_claims(), members), Reason::MalformedToken);
    }
    for function in [
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!({"permissions": ["a:b"]}),
        json!({"permissions": "a:b", "audience": []}),
        json!({"permissions": [1], "audience": []}),
        json!({"permissions": [], "audience": [], "not": []}),
    ] {
        bed.refused_own(with(function_claims(), json!({"function": function})), Reason::MalformedToken);
    }
    bed.refused_own(with(function_claims(), json!({"fed:claims": "absent"})), Reason::MalformedToken);
    bed.refused_own(with(function_claims(), json!({"fed:claims": []})), Reason::MalformedToken);
    bed.refused_own(with(own_claims(), json!({"aud": "faas"})), Reason::AudienceMismatch);
    bed.refused_own(with(own_claims(), json!({"iss": IDP})), Reason::UnknownIssuer);
    bed.refused_own(with(own_claims(), json!({"iss": format!("{OURS}/")})), Reason::UnknownIssuer);
}

#[test]
fn our_own_token_names_one_of_our_keys() {
    let bed = bed();
    let check = |header: Value| bed.own(&bed.ours.token_with(&header, &own_claims())).unwrap_err();
    for (members, reason) in [
        (json!({"kid": "absent"}), Reason::UnknownKey),
        (json!({"kid": "k1"}), Reason::UnknownKey),
        (json!({"alg": "ES384"}), Reason::UnsupportedAlgorithm),
        (json!({"alg": "none"}), Reason::UnsupportedAlgorithm),
    ] {
        let rejection = check(with(bed.ours.header(), members));
        assert_eq!((rejection.reason, rejection.refetch), (reason, None));
    }
}

#[test]
fn the_original_identity_must_still_be_admitted() {
    let bed = bed();
    bed.refused_own(with(own_claims(), json!({"fed:iss": "https://gone"})), Reason::UnknownIssuer);
    bed.refused_own(with(own_claims(), json!({"fed:iss": OURS, "fed:aud": OURS})), Reason::UnknownIssuer);
    bed.refused_own(with(own_claims(), json!({"fed:aud": ["x"]})), Reason::AudienceMismatch);
    let mut removed = bed.issuers.clone();
    removed.register(IDP, None, []);
    let token = bed.ours.token(&own_claims());
    assert_eq!(verify_own(&token, &bed.own, &removed, NOW).unwrap_err().reason, Reason::UnknownIssuer);
    let mut keyless = bed.issuers.clone();
    keyless.set_keys(IDP, None);
    assert!(verify_own(&token, &bed.own, &keyless, NOW).is_ok(), "the provider's keys are not needed");
}

#[test]
fn descriptions_are_printable_and_never_quote_hostile_text() {
    let bed = bed();
    let hostile = "evil\"\\\r\nSet-Cookie: a";
    let long = "x".repeat(300);
    for text in [hostile, &long] {
        for rejection in [
            bed.refused_claims(json!({"iss": text}), Reason::UnknownIssuer),
            bed.refused_claims(json!({"aud": text}), Reason::AudienceMismatch),
        ] {
            assert!(!rejection.description.contains("evil") && !rejection.description.contains("xxx"));
            assert!(rejection.description.chars().all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\'));
        }
    }
}
