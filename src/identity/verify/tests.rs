//! Vectors, one for each way in which a token can be wrong. Here: its form and its signature.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::identity::test_issuer::{TestKey, jwks, key_set};

mod claims;

const IDP: &str = "https://idp.example.com";
const OURS: &str = "https://gw.example.com";
const NOW: i64 = 1_700_000_000;

struct Bed {
    key: TestKey,
    ours: TestKey,
    issuers: Issuers,
    own: OwnIssuer,
}

fn registration(name: &str, audience: &str) -> TrustedIssuer {
    TrustedIssuer {
        name: name.into(),
        audiences: vec![audience.into()],
        token_lifetime: Duration::from_secs(60),
    }
}

fn bed_with(key: TestKey) -> Bed {
    let ours = TestKey::es256("ours");
    let mut issuers = Issuers::new(OURS);
    issuers.register(IDP, None, [registration("idp", "faas")]);
    issuers.register(OURS, None, [registration("own", OURS)]);
    issuers.set_keys(IDP, Some(key_set([&key])));
    issuers.set_keys(OURS, Some(key_set([&ours])));
    let own = OwnIssuer::new(OURS, key_set([&ours]));
    Bed { key, ours, issuers, own }
}

fn bed() -> Bed {
    bed_with(TestKey::es256("k1"))
}

fn claims() -> Value {
    json!({"iss": IDP, "sub": "alice", "aud": "faas", "exp": NOW + 600, "iat": NOW})
}

fn own_claims() -> Value {
    json!({"iss": OURS, "aud": OURS, "sub": "fed:alice", "fed:iss": IDP, "fed:aud": ["x", "faas"],
           "policy": ["p"], "exp": NOW + 600, "iat": NOW, "jti": "1", "org": "dev"})
}

fn function_claims() -> Value {
    json!({"iss": OURS, "aud": [OURS], "sub": "fed:alice", "fed:iss": IDP, "fed:aud": "faas",
           "exp": NOW + 600, "iat": NOW, "jti": "1", "fed:claims": {"org": "dev", "policy": ["root"]},
           "function": {"permissions": ["dev:*"], "audience": []}})
}

/// `base` with these members in place of its own; `"absent"` removes one.
fn with(mut base: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("members are an object") };
    for (name, value) in members {
        if value == "absent" {
            base.as_object_mut().unwrap().remove(&name);
        } else {
            base.as_object_mut().unwrap().insert(name, value);
        }
    }
    base
}

impl Bed {
    fn foreign(&self, token: &str) -> Result<Foreign, TokenRejection> {
        verify_foreign(token, &self.issuers, NOW)
    }

    fn own(&self, token: &str) -> Result<OwnToken, TokenRejection> {
        verify_own(token, &self.own, &self.issuers, NOW)
    }

    #[track_caller]
    fn refused(&self, token: &str, reason: Reason) -> TokenRejection {
        let rejection = self.foreign(token).expect_err("the token is accepted");
        assert_eq!(rejection.reason, reason, "{rejection}");
        assert!(!token.is_empty() && !rejection.description.contains(token));
        rejection
    }

    #[track_caller]
    fn refused_header(&self, members: Value, reason: Reason) {
        self.refused(&self.key.token_with(&with(self.key.header(), members), &claims()), reason);
    }

    #[track_caller]
    fn refused_claims(&self, members: Value, reason: Reason) -> TokenRejection {
        self.refused(&self.key.token(&with(claims(), members)), reason)
    }

    #[track_caller]
    fn refused_own(&self, claims: Value, reason: Reason) {
        let rejection = self.own(&self.ours.token(&claims)).expect_err("the token is accepted");
        assert_eq!(rejection.reason, reason, "{rejection}");
    }
}

#[test]
fn a_good_token_of_every_algorithm_is_accepted() {
    for key in [TestKey::es256("k"), TestKey::es384("k"), TestKey::ed25519("k"), TestKey::rsa("k")] {
        let bed = bed_with(key);
        let foreign = bed.foreign(&bed.key.token(&claims())).unwrap();
        assert_eq!((foreign.principal.issuer.as_str(), foreign.principal.subject.as_str()), (IDP, "alice"));
        assert_eq!((foreign.issuer.name.as_str(), foreign.exp), ("idp", NOW + 600));
    }
    let bed = bed_with(TestKey::rsa("k"));
    let pss = bed.key.token_with(&json!({"alg": "PS256", "kid": "k"}), &claims());
    assert!(bed.foreign(&pss).is_ok());
}

#[test]
fn alg_none_in_any_spelling_is_refused() {
    let bed = bed();
    for alg in ["none", "None", "NONE", "nOnE", "HS256", "es256", "ES256K", "ES512", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": "k1"}).to_string());
        let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
        bed.refused(&format!("{header}.{payload}."), Reason::UnsupportedAlgorithm);
    }
    bed.refused_header(json!({"alg": "absent"}), Reason::MalformedToken);
    bed.refused_header(json!({"alg": ["ES256"]}), Reason::MalformedToken);
}

#[test]
fn hmac_with_the_public_key_as_secret_is_refused() {
    let bed = bed_with(TestKey::rsa("k1"));
    let header = json!({"alg": "HS256", "kid": "k1"}).to_string();
    let input =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()));
    let secret = bed.key.jwk()["n"].as_str().unwrap().to_owned();
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&secret, input.as_bytes());
    bed.refused(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag)), Reason::UnsupportedAlgorithm);
}

#[test]
fn the_algorithm_is_the_keys_and_not_the_headers() {
    let bed = bed();
    bed.refused_header(json!({"alg": "RS256"}), Reason::UnsupportedAlgorithm);
    bed.refused_header(json!({"alg": "ES384"}), Reason::UnsupportedAlgorithm);
    bed.refused_header(json!({"alg": "ES384", "kid": "absent"}), Reason::UnknownKey);
    let mut issuers = bed.issuers.clone();
    let rsa = TestKey::rsa("r");
    let only = with(rsa.jwk(), json!({"alg": "RS512"}));
    issuers.set_keys(IDP, Some(Arc::new(KeySet::from_jwks(&jwks([only])).unwrap().0)));
    let rejection = verify_foreign(&rsa.token(&claims()), &issuers, NOW).unwrap_err();
    assert_eq!(rejection.reason, Reason::UnsupportedAlgorithm);
}

#[test]
fn keys_that_the_header_offers_are_never_used() {
    let bed = bed();
    let evil = TestKey::es256("k1");
    for offer in [
        json!({"jwk": evil.jwk()}),
        json!({"jku": "https://evil.example.com/jwks"}),
        json!({"x5u": "https://evil.example.com/x5u"}),
        json!({"x5c": ["AAAA"]}),
    ] {
        let header = with(evil.header(), offer.clone());
        bed.refused(&evil.token_with(&header, &claims()), Reason::BadSignature);
        let unnamed = with(header, json!({"kid": "absent"}));
        bed.refused(&evil.token_with(&unnamed, &claims()), Reason::BadSignature);
        let genuine = bed.key.token_with(&with(bed.key.header(), offer), &claims());
        assert!(bed.foreign(&genuine).is_ok(), "offers are ignored");
    }
}

#[test]
fn an_unknown_kid_asks_for_a_refetch_of_its_issuer() {
    let bed = bed();
    for kid in ["K1", "k1 ", "", "../../k1", "k1' OR '1'='1", "/dev/null", &"k".repeat(512)] {
        let token = bed.key.token_with(&with(bed.key.header(), json!({"kid": kid})), &claims());
        let rejection = bed.refused(&token, Reason::UnknownKey);
        assert_eq!(rejection.refetch.as_deref(), Some(IDP));
    }
    for kid in [json!("k".repeat(513)), json!(1), json!(null), json!(["k1"]), json!({})] {
        bed.refused_header(json!({"kid": kid}), Reason::MalformedToken);
    }
    let mut issuers = bed.issuers.clone();
    issuers.set_keys(IDP, None);
    let rejection = verify_foreign(&bed.key.token(&claims()), &issuers, NOW).unwrap_err();
    assert_eq!((rejection.reason, rejection.refetch.as_deref()), (Reason::UnknownKey, Some(IDP)));
}

#[test]
fn a_token_without_kid_or_with_a_shared_one_needs_exactly_one_fitting_key() {
    let bed = bed();
    let unnamed = bed.key.token_with(&with(bed.key.header(), json!({"kid": "absent"})), &claims());
    assert!(bed.foreign(&unnamed).is_ok());
    let check = |keys: &[&TestKey], token: &str| {
        let mut issuers = bed.issuers.clone();
        issuers.set_keys(IDP, Some(key_set(keys.iter().copied())));
        verify_foreign(token, &issuers, NOW).map(drop).map_err(|rejection| rejection.reason)
    };
    let (other, twin, rsa) = (TestKey::es256("k2"), TestKey::es256("k1"), TestKey::rsa("k1"));
    assert_eq!(check(&[&bed.key, &rsa], &unnamed), Ok(()));
    assert_eq!(check(&[&bed.key, &other], &unnamed), Err(Reason::UnknownKey));
    assert_eq!(check(&[&bed.key, &bed.key], &unnamed), Err(Reason::UnknownKey));
    let named = bed.key.token(&claims());
    assert_eq!(check(&[&bed.key, &other, &rsa], &named), Ok(()));
    assert_eq!(check(&[&bed.key, &twin], &named), Err(Reason::UnknownKey));
    assert_eq!(check(&[], &named), Err(Reason::UnknownKey));
}

#[test]
fn signatures_that_are_no_signatures_are_refused() {
    let bed = bed();
    let token = bed.key.token(&claims());
    let (signed, genuine) = token.rsplit_once('.').unwrap();
    let genuine = URL_SAFE_NO_PAD.decode(genuine).unwrap();
    let order = [
        &[0xff; 4][..],
        &[0; 4],
        &[0xff; 8],
        &[0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84],
        &[0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51],
    ]
    .concat();
    let der = {
        let integer = |half: &[u8]| {
            let sign: &[u8] = if half[0] >= 0x80 { &[0] } else { &[] };
            [&[2, (sign.len() + half.len()) as u8], sign, half].concat()
        };
        let body = [integer(&genuine[..32]), integer(&genuine[32..])].concat();
        [&[0x30, body.len() as u8][..], &body].concat()
    };
    let wrong = |bytes: &[u8]| {
        bed.refused(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes)), Reason::BadSignature)
    };
    wrong(&[0; 64]);
    wrong(&[&[0; 32][..], &genuine[32..]].concat());
    wrong(&[&genuine[..32], &[0; 32]].concat());
    wrong(&[&order[..], &genuine[32..]].concat());
    wrong(&[&genuine[..32], &order[..]].concat());
    wrong(&[0xff; 64]);
    wrong(&der);
    wrong(&genuine[..63]);
    wrong(&[&genuine[..], &[0]].concat());
    wrong(&[&[0], &genuine[..]].concat());
    wrong(&[]);
    let other = bed.key.token(&with(claims(), json!({"sub": "root"})));
    let swapped = format!("{}.{}", other.rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode(&genuine));
    bed.refused(&swapped, Reason::BadSignature);
}

#[test]
fn header_members_that_change_the_meaning_are_refused() {
    let bed = bed();
    for members in [
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": []}),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"b64": false}),
        json!({"b64": true}),
        json!({"enc": "A128GCM"}),
        json!({"zip": "DEF"}),
        json!({"cty": "JWT"}),
        json!({"typ": "logout+jwt"}),
        json!({"typ": "dpop+jwt"}),
        json!({"typ": 1}),
    ] {
        bed.refused_header(members, Reason::MalformedToken);
    }
    for typ in ["jwt", "at+JWT", "application/at+jwt", "JOSE", "absent"] {
        let header = with(bed.key.header(), json!({"typ": typ}));
        assert!(bed.foreign(&bed.key.token_with(&header, &claims())).is_ok(), "{typ}");
    }
}

#[test]
fn other_serialisations_and_encodings_are_refused() {
    let bed = bed();
    let token = bed.key.token(&claims());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let general = json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]});
    let flat = json!({"payload": payload, "protected": header, "signature": signature});
    // 64 octets leave four bits of the last character unused: set one.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let sibling = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    let loose = format!("{}{sibling}", token.strip_suffix(last).unwrap());
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    let plain = STANDARD_NO_PAD.encode("{\"alg\":\"ES256\",\"x\":\"\u{3ff}\u{fff}?>\u{fff}\"}");
    assert!(plain.contains(['+', '/']));
    for text in [
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "Bearer",
        &general.to_string(),
        &flat.to_string(),
        &loose,
        &format!("{header}.{payload}.{padded}"),
        &format!("{plain}.{payload}.{signature}"),
        &format!(" {token}"),
        &format!("{token} "),
        &format!("{token}\n"),
        &format!("{header}. {payload}.{signature}"),
        &format!("{token}."),
        &format!(".{token}"),
        &format!("{token}.a.b"),
        &format!("{header}..{signature}"),
        &format!("Bearer {token}"),
        &".".repeat(16 * 1024),
        &"a".repeat(16 * 1024),
    ] {
        let rejection = bed.foreign(text).unwrap_err();
        assert_eq!(rejection.reason, Reason::MalformedToken, "{text}");
    }
}

#[test]
fn an_encrypted_token_is_told_apart() {
    let bed = bed();
    let token = bed.key.token(&claims());
    let rejection = bed.refused(&format!("{token}.a.b"), Reason::MalformedToken);
    assert!(rejection.description.contains("three parts"), "{rejection}");
}

#[test]
fn no_token_with_any_one_character_changed_is_accepted() {
    let bed = bed();
    let token = bed.key.token(&claims());
    for (at, original) in token.char_indices() {
        for other in ['A', 'Q', '_', '.', '=', '\n'].into_iter().filter(|other| *other != original) {
            let mut changed = token.clone().into_bytes();
            changed[at] = other as u8;
            let changed = String::from_utf8(changed).unwrap();
            assert!(bed.foreign(&changed).is_err(), "{other:?} at {at}");
        }
        assert!(bed.foreign(token.split_at(at).0).is_err(), "cut at {at}");
    }
}

#[test]
fn ambiguous_or_deep_json_is_refused() {
    let bed = bed();
    let (header, good) = (bed.key.header().to_string(), claims().to_string());
    for (header, payload) in [
        (r#"{"alg":"ES256","alg":"ES256","kid":"k1"}"#.to_owned(), good.clone()),
        (r#"{"alg":"ES256","kid":"k1","\u006bid":"k1"}"#.to_owned(), good.clone()),
        (format!("{header} {{}}"), good.clone()),
        (format!("[{header}]"), good.clone()),
        (header.clone(), good.replacen('{', r#"{"iss":"https://idp.example.com","#, 1)),
        (header.clone(), good.replacen('{', r#"{"sub":"root","#, 1)),
        (header.clone(), good.replacen('{', r#"{"x":{"a":1,"a":2},"#, 1)),
        (header.clone(), good.replacen('{', &format!(r#"{{"x":{}{},"#, "[".repeat(200), "]".repeat(200)), 1)),
        (header.clone(), format!("[{good}]")),
        (header.clone(), format!("\u{feff}{good}")),
        (header.clone(), "null".to_owned()),
    ] {
        bed.refused(&bed.key.token_of(&header, &payload), Reason::MalformedToken);
    }
}

#[test]
fn an_api_token_is_told_apart_whatever_becomes_of_its_ends() {
    let bed = bed();
    let (api, function) = (bed.ours.token(&own_claims()), bed.ours.token(&function_claims()));
    let (unsigned, _) = api.rsplit_once('.').unwrap();
    for token in [&api, unsigned, &format!("{unsigned}."), &format!("{api}x"), &format!("x{api}")] {
        assert!(claims_to_be_api_token(token, OURS), "{token}");
        assert!(!claims_to_be_api_token(token, IDP), "{token}");
    }
    for token in [&function, &bed.key.token(&claims()), "", "a", "a.b", "a.b.c"] {
        assert!(!claims_to_be_api_token(token, OURS), "{token}");
    }
}

#[test]
fn tokens_over_16_kib_are_refused() {
    let bed = bed();
    let sized = |fill: usize| bed.key.token(&with(claims(), json!({"x": "x".repeat(fill)})));
    let room = (jws::MAX_TOKEN - sized(0).len()) * 3 / 4;
    assert!(bed.foreign(&sized(room - 4)).is_ok());
    bed.refused(&sized(room + 4), Reason::MalformedToken);
    let told = |length: usize| bed.foreign(&"a".repeat(length)).unwrap_err().description;
    assert!(told(jws::MAX_TOKEN).contains("three parts"));
    assert!(told(jws::MAX_TOKEN + 1).contains("longer than 16384 bytes"));
}
