use super::*;
use crate::identity::test_issuer::{TestKey, key_set};

const IDP: &str = "https://idp.example.com";
const OURS: &str = "https://gw.example.com";
const NOW: i64 = 1_700_000_000;

struct Bed {
    key: TestKey,
    issuers: Issuers,
    own: OwnIssuer,
    signing: SigningKeys,
    grants: FixedGrants,
}

/// Gives the same to everyone of group `dev`.
#[derive(Clone, Default)]
struct FixedGrants {
    invocations: Invocations,
}

impl Grants for FixedGrants {
    fn policies(&self, principal: &Principal, _: &ExchangeContext) -> Vec<String> {
        if principal.claims.get("group") == Some(&"dev".into()) {
            vec!["a".into(), "b".into()]
        } else {
            vec![]
        }
    }

    fn invocations(&self, _: &Principal, _: &ExchangeContext) -> Invocations {
        self.invocations.clone()
    }

    fn may_invoke(&self, _: &Principal, _: &ExchangeContext, namespace: &str, function: &str) -> bool {
        (namespace, function) != ("dev", "closed")
    }
}

fn bed() -> Bed {
    let key = TestKey::es256("k1");
    let mut issuers = Issuers::new(OURS);
    let registration = |name: &str, audience: &str, secs| TrustedIssuer {
        name: name.into(),
        audiences: vec![audience.into()],
        token_lifetime: Duration::from_secs(secs),
    };
    issuers.register(IDP, None, [registration("b", "faas", 1800), registration("a", "short", 60)]);
    issuers.set_keys(IDP, Some(key_set([&key])));
    let signing = SigningKeys::ephemeral().unwrap();
    let own = signing.issuer(OURS);
    let permissions = vec!["dev:*".to_owned()];
    let claims = BTreeSet::from(["group".to_owned()]);
    let grants = FixedGrants { invocations: Invocations { permissions, claims } };
    Bed { key, issuers, own, signing, grants }
}

fn claims() -> Value {
    json!({"iss": IDP, "sub": "alice", "aud": ["x", "faas"], "exp": NOW + 600, "iat": NOW, "jti": "theirs",
           "nbf": NOW, "group": "dev", "email": "alice@example.com", "policy": ["root"], "fed:iss": "evil"})
}

impl Bed {
    fn ask_at(&self, token: &str, rest: &str, now: i64) -> Result<Success, Refusal> {
        let grant = oauth::GRANT_TYPE_TOKEN_EXCHANGE;
        let kind = oauth::TOKEN_TYPE_ID_TOKEN;
        let form = format!("grant_type={grant}&subject_token_type={kind}&subject_token={token}{rest}");
        let inputs =
            Inputs { own: &self.own, issuers: &self.issuers, grants: &self.grants, signing: &self.signing };
        let context = ExchangeContext { source_ip: None, now };
        exchange(Parameters::from_form(None, form.as_bytes()), &inputs, &context)
    }

    fn ask(&self, token: &str, rest: &str) -> Result<Success, Refusal> {
        self.ask_at(token, rest, NOW)
    }

    fn api_token(&self) -> String {
        self.ask(&self.key.token(&claims()), "").unwrap().access_token
    }

    #[track_caller]
    fn refused(&self, token: &str, rest: &str, code: ErrorCode, why: &str) {
        match self.ask(token, rest).expect_err("a token is issued") {
            Refusal::Request { error, .. } => {
                assert_eq!(error.code(), code, "{error}");
                assert!(error.description().contains(why), "{error}");
                assert!(!error.description().contains(token));
            }
            Refusal::SigningFailed => panic!("signing failed"),
        }
    }
}

fn payload(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn an_api_token_holds_the_original_claims_less_those_that_are_ours() {
    let bed = bed();
    let success = bed.ask(&bed.key.token(&claims()), "").unwrap();
    let expected = json!({
        "iss": OURS, "aud": OURS, "sub": "fed:alice", "fed:iss": IDP, "fed:aud": ["x", "faas"],
        "group": "dev", "email": "alice@example.com", "policy": ["a", "b"],
        "iat": NOW, "exp": NOW + 1800, "jti": success.token_id,
    });
    assert_eq!(payload(&success.access_token), expected);
    let body = success.to_json();
    assert_eq!(body["issued_token_type"], "urn:ietf:params:oauth:token-type:id_token");
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(1800)));
    assert!(body.get("scope").is_none());
    assert!(!format!("{success:?}").contains(&success.access_token));
}

#[test]
fn decisions_on_an_issued_token_are_about_the_same_principal() {
    let bed = bed();
    let foreign = verify_foreign(&bed.key.token(&claims()), &bed.issuers, NOW).unwrap();
    let own = verify_own(&bed.api_token(), &bed.own, &bed.issuers, NOW).unwrap();
    assert_eq!(*own.principal, foreign.principal);
    assert_eq!(own.kind, TokenKind::Api);
}

#[test]
fn the_first_registration_that_fits_gives_the_lifetime() {
    let bed = bed();
    let mut claims = claims();
    claims["aud"] = json!(["faas", "short"]);
    let success = bed.ask(&bed.key.token(&claims), "").unwrap();
    assert_eq!(success.expires_in, 60);
    let other = bed.ask(&bed.key.token(&claims), "").unwrap();
    assert_ne!(success.token_id, other.token_id);
}

#[test]
fn an_unacceptable_subject_token_is_an_invalid_request() {
    use ErrorCode::InvalidRequest;
    let bed = bed();
    bed.refused("a.b.c", "", InvalidRequest, "subject_token: malformed token");
    let mut nobody = claims();
    nobody["group"] = json!("other");
    nobody["sub"] = json!("bob\"\n");
    bed.refused(&bed.key.token(&nobody), "", InvalidRequest, "No policies found for subject: bob??");
    bed.refused(&TestKey::es256("k1").token(&claims()), "", InvalidRequest, "signature");
    match bed.ask(&TestKey::es256("k2").token(&claims()), "").unwrap_err() {
        Refusal::Request { reason, refetch, .. } => {
            assert_eq!((reason, refetch.as_deref()), (Some(Reason::UnknownKey), Some(IDP)));
        }
        Refusal::SigningFailed => panic!("signing failed"),
    }
    let mut big = claims();
    big["x"] = json!("");
    let room = (MAX_ISSUED - bed.key.token(&big).len()) * 3 / 4 - 4;
    big["x"] = json!("x".repeat(room));
    bed.refused(&bed.key.token(&big), "", InvalidRequest, "longer than");
}

#[test]
fn an_api_token_is_for_us_alone() {
    let bed = bed();
    let token = bed.key.token(&claims());
    assert!(bed.ask(&token, &format!("&audience={OURS}&resource={OURS}")).is_ok());
    bed.refused(&token, "&audience=dev:env", ErrorCode::InvalidTarget, "scope=function");
    bed.refused(&token, "&resource=https://other", ErrorCode::InvalidTarget, OURS);
}

#[test]
fn our_own_tokens_are_not_renewed() {
    let bed = bed();
    bed.refused(&bed.api_token(), "", ErrorCode::InvalidRequest, "renewal needs a token of the provider");
    let function = bed.ask(&bed.api_token(), "&scope=function").unwrap().access_token;
    for rest in ["", "&scope=function"] {
        bed.refused(&function, rest, ErrorCode::InvalidRequest, "a function token is not exchanged");
    }
}

#[test]
fn a_function_token_holds_only_what_the_decision_needs() {
    let bed = bed();
    let success = bed.ask(&bed.key.token(&claims()), "&scope=function").unwrap();
    let expected = json!({
        "iss": OURS, "aud": [OURS], "sub": "fed:alice", "fed:iss": IDP, "fed:aud": ["x", "faas"],
        "fed:claims": {"group": "dev"}, "function": {"permissions": ["dev:*"], "audience": []},
        "iat": NOW, "exp": NOW + 1800, "jti": success.token_id,
    });
    assert_eq!(payload(&success.access_token), expected);
    assert_eq!(success.to_json()["scope"], "function");
    let own = verify_own(&success.access_token, &bed.own, &bed.issuers, NOW).unwrap();
    assert_eq!(own.principal.subject, "alice");
    let names: Vec<_> = own.principal.claims.as_map().keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "group", "iss", "sub"]);
}

#[test]
fn a_function_token_for_named_functions_permits_exactly_those() {
    let bed = bed();
    let token = bed.key.token(&claims());
    let rest = "&scope=function&audience=dev:b&audience=dev:a&audience=dev:b";
    let function = payload(&bed.ask(&token, rest).unwrap().access_token)["function"].clone();
    assert_eq!(function, json!({"permissions": ["dev:a", "dev:b"], "audience": ["dev:a", "dev:b"]}));
    for entry in ["dev:closed", "dev", "dev:*", "dev:a:b", ":a", "dev:", "Dev:a", "dev:a%0a"] {
        let rest = format!("&scope=function&audience=dev:a&audience={entry}");
        bed.refused(&token, &rest, ErrorCode::InvalidTarget, "may not be invoked");
    }
    let many: String = (0..101).map(|index| format!("&audience=dev:f{index}")).collect();
    bed.refused(&token, &format!("&scope=function{many}"), ErrorCode::InvalidTarget, "more than 100");
    bed.refused(&token, "&scope=function&resource=dev:a", ErrorCode::InvalidTarget, "audience");
}

#[test]
fn a_function_token_never_outlives_the_api_token_that_it_came_from() {
    let bed = bed();
    let later = NOW + 1000;
    let success = bed.ask_at(&bed.api_token(), "&scope=function", later).unwrap();
    assert_eq!((success.expires_in, &payload(&success.access_token)["exp"]), (800, &json!(NOW + 1800)));
}

#[test]
fn a_scope_that_cannot_be_granted_is_invalid() {
    let mut bed = bed();
    let token = bed.key.token(&claims());
    bed.grants.invocations = Invocations::default();
    bed.refused(&token, "&scope=function", ErrorCode::InvalidScope, "Function:Invoke");
    assert!(bed.ask(&token, "&scope=function&audience=dev:a").is_ok());
}
