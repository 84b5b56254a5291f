//! Every reason of a refusal, by a request that gets it, and what its one line says to change.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::google::protobuf::value::Kind;
use faas_iam::reason::Reason;
use serde_json::{Value, json};

use crate::grpc_client::{check_of, connect};
use crate::objects::{grant, policy, role};
use crate::stack::{CLIENT_ID, PASSWORD, Setup, Stack, USER, basic, text};

/// Those that no request brings about by itself; other tests have them.
const ELSEWHERE: [Reason; 6] = [
    Reason::Allowed,
    Reason::PublicRoute,
    Reason::AdminCredentials,
    Reason::SnapshotNotReady,
    Reason::Overloaded,
    Reason::InternalError,
];

/// A refusal: the request, and the words that say what to change.
struct Case {
    reason: Reason,
    method: &'static str,
    target: &'static str,
    authorization: Option<String>,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    cure: &'static str,
}

/// A GET of the API by somebody.
fn get(reason: Reason, target: &'static str, token: &str, cure: &'static str) -> Case {
    let authorization = (!token.is_empty()).then(|| format!("Bearer {token}"));
    Case { reason, method: "GET", target, authorization, headers: &[], body: "", cure }
}

/// The same with another method and a body.
fn send(
    reason: Reason,
    method: &'static str,
    target: &'static str,
    body: &'static str,
    cure: &'static str,
) -> Case {
    Case { method, body, ..get(reason, target, "", cure) }
}

/// The makers of tokens.
struct Tokens<'a> {
    stack: &'a Stack,
    kid: String,
}

impl Tokens<'_> {
    /// A token that the service takes for its own, with some claims set otherwise.
    fn own(&self, subject: &str, kid: Option<&str>, changes: &Value) -> Result<String> {
        let now = faas_iam::transport::now();
        let mut claims = json!({
            "iss": self.stack.issuer(), "aud": self.stack.issuer(), "sub": format!("fed:{subject}"),
            "fed:iss": self.stack.provider.issuer, "fed:aud": CLIENT_ID, "policy": [],
            "iat": now, "exp": now + 600, "jti": "test",
        });
        if let (Some(claims), Some(changes)) = (claims.as_object_mut(), changes.as_object()) {
            claims.extend(changes.clone());
        }
        self.stack.key.sign(kid.unwrap_or(&self.kid), &claims)
    }

    fn of(&self, subject: &str) -> Result<String> {
        self.own(subject, None, &json!({}))
    }
}

fn objects() -> String {
    let unreadable = "---\napiVersion: iam.openfaas.com/v1\nkind: Policy\nmetadata: {name: unreadable}\n\
         spec: {statement: [{sid: s, effect: Maybe, action: ['*'], resource: ['*']}]}\n";
    let deny = policy("deny", "*", "prod:*").replace("effect: Allow", "effect: Deny");
    [
        grant("alice", "*", "dev:*"),
        deny + &role("deny", "dora", "deny") + &grant("dora", "*", "*"),
        unreadable.to_owned() + &role("ivan", "ivan", "unreadable"),
    ]
    .concat()
}

/// Refusals for what is presented.
async fn identity_cases(tokens: &Tokens<'_>) -> Result<Vec<Case>> {
    const INFO: &str = "/system/info";
    let now = faas_iam::transport::now();
    let alice = tokens.of("alice")?;
    let (rest, _) = alice.rsplit_once('.').context("a token")?;
    let (_, payload) = rest.split_once('.').context("a token")?;
    let with = |changes: Value| tokens.own("alice", None, &changes);
    let hs256 = format!("eyJhbGciOiJIUzI1NiJ9.{payload}.{}", "A".repeat(43));
    let exchange = "exchange the token of your provider at /oauth/token";
    let unchanged = "get a new token, and send it unchanged";
    let mut cases = vec![
        get(Reason::NoToken, INFO, "", "sign in"),
        get(
            Reason::AmbiguousCredentials,
            INFO,
            "a, Bearer b",
            "send one Authorization header with one Bearer token",
        ),
        get(Reason::MalformedToken, INFO, "abc", unchanged),
        get(Reason::BadSignature, INFO, &format!("{rest}.{}", "A".repeat(86)), unchanged),
        get(Reason::UnsupportedAlgorithm, INFO, &hs256, exchange),
        get(Reason::UnknownIssuer, INFO, &tokens.stack.id_token("alice")?, exchange),
        get(Reason::UnknownKey, INFO, &tokens.own("alice", Some("other"), &json!({}))?, exchange),
        get(Reason::AudienceMismatch, INFO, &with(json!({"aud": "https://other"}))?, exchange),
        get(Reason::TokenExpired, INFO, &with(json!({"exp": now - 60}))?, "get a new token"),
        get(Reason::TokenNotYetValid, INFO, &with(json!({"nbf": now + 300}))?, "set the clocks, or wait"),
        get(Reason::WrongTokenKind, "/function/f.dev", &alice, "exchange it for a function token"),
        get(Reason::FunctionTokenRequired, "/function/f.dev", "", "exchange yours for one"),
    ];
    let basic = Some(basic(USER, PASSWORD));
    cases.push(Case { authorization: basic, ..get(Reason::BadCredentials, INFO, "", "send a Bearer token") });
    let token = tokens.stack.function_token("alice", &["dev:f"], &[]).await?;
    cases.push(get(
        Reason::FunctionTokenScope,
        "/function/g.dev",
        &token,
        "exchange one with it as audience",
    ));
    let callback: &[_] = &[("x-callback-url", "http://10.0.0.1/")];
    let call = get(Reason::CallbackNotAllowed, "/async-function/f.dev", &token, "use a host name");
    cases.push(Case { method: "POST", headers: callback, ..call });
    Ok(cases)
}

/// Refusals for what is asked, before anybody is asked who they are.
fn request_cases() -> Vec<Case> {
    const FUNCTIONS: &str = "/system/functions";
    let split = r#"{"functionName":"f","namespace":"dev"}"#;
    let length: &[_] = &[("content-length", "99")];
    let sign: &[_] = &[("content-length", "+2")];
    vec![
        send(Reason::MalformedPath, "GET", "/system/../functions", "", "resolve it before sending"),
        send(Reason::MalformedQuery, "GET", "/system/functions?a;b", "", "separate parameters by '&'"),
        send(Reason::MalformedBody, "POST", FUNCTIONS, r#"{"Service":"f"}"#, "write it 'service'"),
        send(
            Reason::ConflictingTarget,
            "DELETE",
            "/system/functions?namespace=prod",
            split,
            "send the same in both or only one",
        ),
        send(Reason::InvalidName, "POST", FUNCTIONS, r#"{"service":"F"}"#, "use 1 to 63 of a-z, 0-9 and '-'"),
        Case { headers: sign, ..send(Reason::MalformedHeader, "DELETE", FUNCTIONS, "{}", "correct it") },
        Case {
            headers: length,
            ..send(Reason::PartialBody, "DELETE", FUNCTIONS, "{}", "send a smaller one, and all of it")
        },
        send(Reason::UnknownRoute, "GET", "/system/nothing", "", "check the path"),
        send(Reason::MethodNotAllowed, "PATCH", FUNCTIONS, "", "use one that the allow header lists"),
    ]
}

/// Refusals by what is in force.
fn policy_cases(tokens: &Tokens<'_>) -> Result<Vec<Case>> {
    const PROD: &str = "/system/functions?namespace=prod";
    let alice = tokens.of("alice")?;
    Ok(vec![
        get(Reason::ClosedRoute, "/system/telemetry", &alice, "no permission opens it"),
        get(
            Reason::SystemNamespace,
            "/system/functions?namespace=openfaas",
            &alice,
            "use a namespace for functions",
        ),
        get(
            Reason::NoMatchingRole,
            PROD,
            &tokens.of("nora")?,
            "needs Function:List on prod:*: no Role matches you, so ask for one",
        ),
        get(Reason::NoMatchingAllow, PROD, &alice, "alice needs Function:List on prod:*"),
        get(Reason::ExplicitDeny, PROD, &tokens.of("dora")?, "ask for it to be changed"),
        get(Reason::InvalidPolicy, PROD, &tokens.of("ivan")?, "faas-iam validate names it"),
        get(Reason::FilterNotWired, "/system/namespaces", &alice, "ask for each namespace"),
    ])
}

#[tokio::test]
async fn every_refusal_has_a_reason_of_its_own_and_says_what_to_change() -> Result<()> {
    let stack = Stack::start(Setup::with_flags(objects(), &["--function-auth=required"])).await?;
    stack.token("alice").await?;
    let kid = text(&stack.jwks().await?, "/keys/0/kid")?.to_owned();
    let tokens = Tokens { stack: &stack, kid };
    let mut cases = identity_cases(&tokens).await?;
    cases.extend(request_cases());
    cases.extend(policy_cases(&tokens)?);

    let channel = connect(&format!("http://{}", stack.service.ports.grpc)).await?;
    let mut seen: BTreeSet<Reason> = ELSEWHERE.into();
    let mut problems = Vec::new();
    for case in &cases {
        let (reason, body) = refusal(channel.clone(), case).await?;
        let one_line = body.ends_with('\n') && body.lines().count() == 1;
        if reason != case.reason.code() || !body.contains(case.cure) || !one_line {
            problems.push(format!("{}: {reason}: {body:?}", case.reason));
        }
        assert!(seen.insert(case.reason), "{} twice", case.reason);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(seen, Reason::ALL.iter().copied().collect(), "reasons without a case");
    Ok(())
}

/// The code and the body of a refusal.
async fn refusal(channel: tonic::transport::Channel, case: &Case) -> Result<(String, String)> {
    let mut headers: HashMap<String, String> =
        case.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers.extend(case.authorization.iter().map(|value| ("authorization".to_owned(), value.clone())));
    let request = HttpRequest {
        method: case.method.to_owned(),
        path: case.target.to_owned(),
        headers,
        raw_body: case.body.into(),
        ..HttpRequest::default()
    };
    let response = AuthorizationClient::new(channel).check(check_of(request)).await?.into_inner();
    let metadata = response.dynamic_metadata.context("no metadata")?;
    let reason = metadata.fields.get("reason").and_then(|value| value.kind.clone());
    let Some(Kind::StringValue(reason)) = reason else { anyhow::bail!("no reason") };
    let body = match response.http_response {
        Some(HttpResponse::DeniedResponse(denied)) => denied.body,
        other => format!("{other:?}"),
    };
    Ok((reason, body))
}
