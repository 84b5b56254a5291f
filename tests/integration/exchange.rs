//! From a sign-in at the identity provider to a token of ours, through the real Envoy.

use anyhow::{Context as _, Result};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value, json};

use crate::objects::grant;
use crate::stack::{CLIENT_ID, FORM, Setup, Stack, exchange_form, text};
use crate::support::http::{self, RawResponse};

/// A subject token, further parameters, and the code and description of the answer.
type Refused<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);

async fn stack() -> Result<Stack> {
    let stack = Stack::start(Setup::new(grant("alice", "Function:*", "dev:*"))).await?;
    stack.provider.add_user(
        "alice",
        "canary-wonderland",
        json!({ "email": "alice@example.com", "groups": ["a"] }),
    );
    // The provider's keys are there from now on.
    stack.token("alice").await?;
    Ok(stack)
}

fn json_body(answer: &RawResponse) -> Result<Value> {
    serde_json::from_slice(&answer.body).with_context(|| answer.text())
}

/// The claims of a token, verified with what the service publishes and by other code than its own.
async fn verified(stack: &Stack, token: &str) -> Result<Map<String, Value>> {
    let discovery = format!("{}/.well-known/openid-configuration", stack.issuer());
    let client = http::client()?;
    let document: Value = serde_json::from_slice(&client.get(discovery).send().await?.bytes().await?)?;
    assert_eq!(text(&document, "/issuer")?, stack.issuer());
    let keys = client.get(text(&document, "/jwks_uri")?).send().await?.bytes().await?;
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys)?;
    let kid = decode_header(token)?.kid.context("no kid")?;
    let key = DecodingKey::from_jwk(keys.find(&kid).context("the key is not published")?)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[stack.issuer()]);
    validation.set_audience(&[stack.issuer()]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    Ok(decode::<Map<String, Value>>(token, &key, &validation)?.claims)
}

#[tokio::test]
async fn a_sign_in_becomes_a_token_that_others_can_verify_and_that_opens_the_api() -> Result<()> {
    let stack = stack().await?;
    let sign_in = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("grant_type", "password"), ("username", "alice"), ("password", "canary-wonderland")])
        .append_pair("client_id", CLIENT_ID)
        .finish();
    let url = format!("{}/token", stack.provider.issuer);
    let answer = http::client()?.post(url).body(sign_in).send().await?.bytes().await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let id_token = text(&answer, "/id_token")?;

    let in_body = stack.exchange(id_token, &[]).await?;
    let target = format!("/oauth/token?{}", exchange_form(id_token, &[]));
    let in_query = stack.send("POST", &target, &[], b"").await?;
    let typed_query = stack.send("POST", &target, &[FORM, ("Content-Length", "0")], b"").await?;
    for answer in [in_body, in_query, typed_query] {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body = json_body(&answer)?;
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["issued_token_type"], "urn:ietf:params:oauth:token-type:id_token");
        assert_eq!(body["expires_in"], 1800);
        assert_eq!(body.get("scope"), None);

        let token = text(&body, "/access_token")?;
        let claims = verified(&stack, token).await?;
        for (name, value) in [
            ("sub", json!("fed:alice")),
            ("fed:iss", json!(stack.provider.issuer)),
            ("fed:aud", json!(CLIENT_ID)),
            ("policy", json!(["alice"])),
            ("email", json!("alice@example.com")),
            ("groups", json!(["a"])),
        ] {
            assert_eq!(claims.get(name), Some(&value), "{name}");
        }
        let time = |name: &str| claims.get(name).and_then(Value::as_i64).context("no time");
        assert_eq!(time("exp")? - time("iat")?, 1800);
        assert_eq!(stack.get(token, "/system/functions?namespace=dev").await?, 200);
        assert_eq!(stack.get(token, "/system/functions?namespace=other").await?, 403);
        assert_eq!(stack.get(id_token, "/system/functions?namespace=dev").await?, 401);
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_exchanged_is_told_as_a_json_error_without_the_token() -> Result<()> {
    let stack = stack().await?;
    let alice = stack.id_token("alice")?;
    let mallory = stack.id_token("mallory")?;
    let api_token = stack.token("alice").await?;
    let expired = stack.provider.id_token("alice", CLIENT_ID, &json!({ "exp": 1000 }))?;
    let elsewhere = stack.provider.id_token("alice", "another-client", &json!({}))?;
    let unknown =
        stack.provider.id_token("alice", CLIENT_ID, &json!({ "iss": "https://unknown.example" }))?;
    let (signed, _) = alice.rsplit_once('.').context("no signature")?;
    let forged = format!("{signed}.{}", "A".repeat(86));
    let none = [].as_slice();
    let cases: [Refused<'_>; 13] = [
        (&mallory, none, "invalid_request", "No policies found for subject: mallory"),
        ("garbage", none, "invalid_request", "malformed token"),
        (&expired, none, "invalid_request", "expired"),
        (&elsewhere, none, "invalid_request", "the audience another-client is not accepted"),
        (&unknown, none, "invalid_request", "the issuer https://unknown.example is not registered"),
        (&forged, none, "invalid_request", "signature"),
        (&api_token, none, "invalid_request", "renewal needs a token of the provider again"),
        ("", none, "invalid_request", "subject_token is missing"),
        (&alice, &[("subject_token", "x")], "invalid_request", "more than once"),
        (&alice, &[("actor_token", "x")], "invalid_request", "actor_token"),
        (&alice, &[("scope", "admin")], "invalid_scope", "scope"),
        (&alice, &[("audience", "https://else.example")], "invalid_target", "alone"),
        (&alice, &[("requested_token_type", "x")], "invalid_request", "requested_token_type"),
    ];
    for (token, more, code, description) in cases {
        let answer = stack.exchange(token, more).await?;
        check_refusal(&answer, code, description)?;
        let parts: Vec<&str> = token.split('.').filter(|part| part.len() > 20).collect();
        assert!(parts.iter().all(|part| !answer.text().contains(part)), "{}", answer.text());
    }
    for (headers, body, code, description) in [
        (&[][..], "", "invalid_request", "grant_type is missing"),
        (&[FORM][..], "grant_type=password", "unsupported_grant_type", "grant_type must be"),
        (&[("Content-Type", "application/json")], "{}", "invalid_request", "x-www-form-urlencoded"),
    ] {
        let answer = stack.send("POST", "/oauth/token", headers, body.as_bytes()).await?;
        check_refusal(&answer, code, description)?;
    }
    assert!(stack.upstream()?.is_none(), "the gateway saw a token request");
    Ok(())
}

fn check_refusal(answer: &RawResponse, code: &str, description: &str) -> Result<()> {
    let shown = answer.text();
    assert_eq!(answer.status, 400, "{description}: {shown}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{shown}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{shown}");
    let body = json_body(answer)?;
    assert_eq!(text(&body, "/error")?, code, "{body}");
    let described = text(&body, "/error_description")?.contains(description);
    assert!(described, "{body} does not say {description}");
    Ok(())
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_found_when_the_first_token_of_it_comes() -> Result<()> {
    let stack = stack().await?;
    let before = stack.provider.counts();
    stack.provider.add_key()?;
    stack.token("alice").await?;
    let asked = stack.provider.counts().keys - before.keys;
    assert!((1..=3).contains(&asked), "the provider was asked {asked} times");
    Ok(())
}

#[tokio::test]
async fn the_documents_may_be_kept_for_a_while_and_list_what_there_is() -> Result<()> {
    let stack = stack().await?;
    for target in ["/.well-known/openid-configuration", "/.well-known/jwks.json"] {
        let answer = stack.send("GET", target, &[], b"").await?;
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    }
    let document = json_body(&stack.send("GET", "/.well-known/openid-configuration", &[], b"").await?)?;
    assert_eq!(text(&document, "/token_endpoint")?, format!("{}/oauth/token", stack.issuer()));
    let keys = stack.jwks().await?;
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(keys["keys"][0]["alg"], "ES256");
    assert_eq!(keys["keys"][0].get("d"), None, "a private key is published");
    Ok(())
}
