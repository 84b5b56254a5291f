//! Each promise that the comments of `envoy/envoy.yaml` make, against the real Envoy.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use envoy_types::pb::envoy::config::core::v3::QueryParameter;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, OkHttpResponse};

use crate::bed::{self, Bed};
use crate::support::authz_stub::AuthzStub;
use crate::support::http;
use crate::support::{envoy, process};

#[test]
fn the_shipped_file_changes_in_nothing_but_addresses() -> Result<()> {
    let shipped = fs::read_to_string(envoy::root().join("envoy/envoy.yaml"))?;
    let to = |port| process::loopback(port);
    let addresses = envoy::Addresses {
        listener: to(1),
        admin: to(2),
        gateway: to(3),
        decisions: to(4),
        token_service: to(5),
    };
    let rendered = envoy::render(&shipped, &addresses)?;
    let changed: Vec<(&str, &str)> =
        shipped.lines().zip(rendered.lines()).filter(|(before, after)| before != after).collect();
    assert_eq!(changed.len(), 5);
    for (before, after) in changed {
        let without_address = |line: &str| line.split(" address: ").next().map(str::to_owned);
        assert_eq!(without_address(before), without_address(after));
        assert!(before.contains("socket_address"), "{before}");
    }
    Ok(())
}

#[test]
fn every_route_passes_the_decision_point_and_no_failure_opens_it() -> Result<()> {
    let shipped = fs::read_to_string(envoy::root().join("envoy/envoy.yaml"))?;
    let settings: Vec<&str> =
        shipped.lines().map(|line| line.split('#').next().unwrap_or_default()).collect();
    let has = |text: &str| settings.iter().any(|line| line.contains(text));
    assert!(!has("disabled: true"));
    assert!(!has("failure_mode_allow: true"));
    assert!(!has("allow_partial_message: true"));
    assert!(has("failure_mode_allow: false"));
    Ok(())
}

#[tokio::test]
async fn the_service_and_the_gateway_see_the_same_normalised_path() -> Result<()> {
    let bed = Bed::start().await?;
    for (sent, seen) in [
        ("/function/f", "/function/f"),
        ("/function/f?a=/../b//c&d=%2F", "/function/f?a=/../b//c&d=%2F"),
        ("/system/../function/f", "/function/f"),
        ("/system/%2e%2E/function/f", "/function/f"),
        ("/.well-known/../function/f", "/function/f"),
        ("/function/f/./g", "/function/f/g"),
        ("/function\\f", "/function/f"),
        ("/%66unction/f%7Eg", "/function/f~g"),
        ("//function/f", "//function/f"),
        ("/function/f//g", "/function/f//g"),
        ("/function/f%252fg", "/function/f%252fg"),
        ("/function/f%0ag", "/function/f%0ag"),
        ("/function/f%zz", "/function/f%zz"),
        ("/function/f;g", "/function/f;g"),
        ("http://elsewhere/function/f", "/function/f"),
    ] {
        bed.send("GET", sent, &[], b"").await?;
        assert_eq!(bed.checked()?.path, seen, "{sent}: checked");
        let forwarded = bed.forwarded().context("not forwarded")?;
        assert_eq!(forwarded.target, seen, "{sent}: forwarded");
    }
    Ok(())
}

#[tokio::test]
async fn ambiguous_targets_and_headers_are_refused_before_a_decision() -> Result<()> {
    let bed = Bed::start().await?;
    for (target, details) in [
        ("/function/f%2fg", "path_normalization_failed"),
        ("/function/f%5Cg", "path_normalization_failed"),
        ("/function/f%00", "path_normalization_failed"),
        ("/function/f#g", "path_normalization_failed"),
        ("/system/info?a=1#g", "path_normalization_failed"),
        ("/function/f g", "http1.codec_error"),
        ("/function/caf\u{e9}", "http1.codec_error"),
        ("*", "http1.invalid_url"),
    ] {
        let response = bed.send("GET", target, &[], b"").await?;
        let said = format!("refused before a decision: {details}\n");
        assert_eq!((response.status, response.text()), (400, said), "{target}");
    }
    let underscore = [("namespace_name", "a")];
    let response = bed.send("GET", "/function/f", &underscore, b"").await?;
    assert_eq!(response.status, 400);
    let both = b"POST /function/f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(http::raw(bed.address(), both).await?.status, 400);
    let connect = bed.send("CONNECT", "gateway:8080", &[], b"").await?;
    assert_eq!(connect.status, 404);
    let upgrade = b"GET /function/f HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(http::raw(bed.address(), upgrade).await?.status, 403);

    assert!(bed.decisions.take_calls().is_empty());
    assert!(bed.gateway.recorded().is_empty());
    Ok(())
}

#[tokio::test]
async fn the_service_sees_the_listed_headers_and_no_other() -> Result<()> {
    let bed = Bed::start().await?;
    let sent = [
        ("Authorization", "Bearer a"),
        ("Authorization", "Bearer b"),
        ("X-Callback-Url", "https://one"),
        ("X-Callback-Url", "https://two"),
        ("Cookie", "a=b"),
        ("Content-Type", "application/json"),
        ("X-Forwarded-For", "198.51.100.7"),
        ("X-Envoy-External-Address", "198.51.100.7"),
        ("X-Envoy-Auth-Partial-Body", "true"),
        ("X-Request-Id", "mine"),
    ];
    bed.send("POST", "/system/functions", &sent, b"{}").await?;
    let seen = bed.checked()?.headers;
    let mut names: Vec<&str> = seen.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "content-length",
            "x-callback-url",
            "x-envoy-auth-partial-body",
            "x-envoy-external-address",
            "x-request-id",
        ]
    );
    assert_eq!(seen["authorization"], "Bearer a,Bearer b");
    assert_eq!(seen["x-callback-url"], "https://one,https://two");
    assert_eq!(seen["x-envoy-external-address"], "127.0.0.1");
    assert_eq!(seen["x-envoy-auth-partial-body"], "false");
    assert_ne!(seen["x-request-id"], "mine");
    Ok(())
}

#[tokio::test]
async fn headers_that_speak_for_envoy_or_the_service_do_not_pass() -> Result<()> {
    let bed = Bed::start().await?;
    let sent = [
        ("X-Envoy-Original-Path", "/system/info"),
        ("X-Envoy-Upstream-Rq-Timeout-Ms", "1"),
        ("X-Envoy-Retry-On", "5xx"),
        ("x-envoy-auth-partial-body", "true"),
        ("X-Faas-Iam-Decision", "forged"),
        ("x-faas-iam-subject", "forged"),
    ];
    bed.send("GET", "/function/f", &sent, b"").await?;
    let forwarded = bed.forwarded().context("not forwarded")?;
    let names: Vec<&str> = forwarded
        .headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| name.starts_with("x-envoy-") || name.starts_with("x-faas-iam-"))
        .collect();
    assert_eq!(names, ["x-envoy-external-address"]);
    let seen = bed.checked()?.headers;
    assert!(!seen.contains_key("x-envoy-auth-partial-body"));
    Ok(())
}

#[tokio::test]
async fn an_allow_replaces_every_authorization_header_or_leaves_them() -> Result<()> {
    let bed = Bed::start().await?;
    let sent = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")];
    bed.send("GET", "/system/info", &sent, b"").await?;
    let forwarded = bed.forwarded().context("not forwarded")?;
    let values: Vec<_> = forwarded.headers.get_all("authorization").iter().collect();
    assert_eq!(values, [bed::GATEWAY_CREDENTIALS]);

    bed.decisions.respond(bed::allow_with(OkHttpResponse::default()));
    bed.send("GET", "/function/f", &sent[..1], b"").await?;
    let forwarded = bed.forwarded().context("not forwarded")?;
    assert_eq!(forwarded.header("authorization"), Some("Bearer a"));

    bed.decisions.respond(bed::allow_with(OkHttpResponse {
        headers_to_remove: vec!["authorization".to_owned()],
        ..OkHttpResponse::default()
    }));
    bed.send("GET", "/function/f", &sent, b"").await?;
    let forwarded = bed.forwarded().context("not forwarded")?;
    assert_eq!(forwarded.header("authorization"), None);
    Ok(())
}

#[tokio::test]
async fn setting_a_query_parameter_rewrites_the_query() -> Result<()> {
    let bed = Bed::start().await?;
    bed.decisions.respond(set_namespace("dev"));
    for (sent, forwarded) in [
        ("", "namespace=dev"),
        ("?", "namespace=dev"),
        // Every value of the parameter goes, and the parameters are sorted by their name ...
        ("?namespace=x", "namespace=dev"),
        ("?z=1&namespace=x&namespace=y&a=1", "a=1&namespace=dev&z=1"),
        ("?A=1&a=2&b=3&a=4", "A=1&a=2&a=4&b=3&namespace=dev"),
        // ... a parameter without `=` gets one, and so does an empty one ...
        ("?usage", "namespace=dev&usage="),
        ("?a&&b", "=&a=&b=&namespace=dev"),
        // ... and the rest stays as it was written. Names are compared undecoded: the service does
        // not let a name through that decodes to `namespace` and is not written so.
        (
            "?since=2020-01-01T00%3A00%3A00%2B02:00&name=f",
            "name=f&namespace=dev&since=2020-01-01T00%3A00%3A00%2B02:00",
        ),
        ("?a=b=c?d+%20%zz", "a=b=c?d+%20%zz&namespace=dev"),
        ("?%6eamespace=x", "%6eamespace=x&namespace=dev"),
    ] {
        bed.send("GET", &format!("/function/f{sent}"), &[], b"").await?;
        let request = bed.forwarded().context("not forwarded")?;
        assert_eq!(request.query(), forwarded, "{sent}");
    }
    Ok(())
}

#[tokio::test]
async fn a_query_parameter_that_is_not_encoded_is_an_error() -> Result<()> {
    let bed = Bed::start().await?;
    bed.decisions.respond(set_namespace("a b&c"));
    let response = bed.send("GET", "/function/f", &[], b"").await?;
    assert_eq!(response.status, 500);
    assert!(bed.forwarded().is_none());
    Ok(())
}

fn set_namespace(value: &str) -> CheckResponse {
    bed::allow_with(OkHttpResponse {
        query_parameters_to_set: vec![QueryParameter {
            key: "namespace".to_owned(),
            value: value.to_owned(),
        }],
        ..OkHttpResponse::default()
    })
}

#[tokio::test]
async fn logs_arrive_while_they_are_written() -> Result<()> {
    let bed = Bed::start().await?;
    let url = format!("{}/system/logs?name=f&follow=true", bed.envoy.url);
    let mut response = http::client()?.get(url).send().await?;
    let first = tokio::time::timeout(Duration::from_secs(1), response.chunk()).await??;
    let first = String::from_utf8(first.context("no line")?.to_vec())?;
    assert!(first.contains("line 0"), "{first}");
    Ok(())
}

/// The lines that are commented out beside the virtual host.
#[tokio::test]
async fn a_context_extension_reaches_the_service_on_every_route() -> Result<()> {
    let bed = Bed::start_changed(envoy::accepting_admin).await?;
    for target in ["/system/info", "/system/functions", "/system/secrets"] {
        bed.send("POST", target, &[], b"{}").await?;
        bed.gateway.reset();
        let calls = bed.decisions.take_calls();
        let attributes = calls.first().and_then(|call| call.attributes.as_ref()).context("no call")?;
        let extension = attributes.context_extensions.get("admin-basic-auth");
        assert_eq!(extension.map(String::as_str), Some("allow"), "{target}");
        let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
        let body = http.context("no request")?.raw_body.as_slice();
        let expected: &[u8] = if target == "/system/info" { b"" } else { b"{}" };
        assert_eq!(body, expected, "{target}");
    }
    Ok(())
}

#[tokio::test]
async fn the_token_service_gets_its_two_routes_through_the_decision_point() -> Result<()> {
    let bed = Bed::start().await?;
    for target in ["/oauth/token?a=b", "/.well-known/openid-configuration"] {
        bed.send("GET", target, &[], b"").await?;
        assert_eq!(bed.checked()?.path, target);
        assert_eq!(bed.token_service.recorded().len(), 1, "{target}");
        assert!(bed.forwarded().is_none(), "{target}");
        bed.token_service.reset();
    }
    for target in ["/oauth/token/", "/oauth/tokens", "/.well-known"] {
        bed.send("GET", target, &[], b"").await?;
        assert!(bed.token_service.recorded().is_empty(), "{target}");
        bed.gateway.reset();
        bed.checked()?;
    }
    Ok(())
}

#[tokio::test]
async fn without_the_service_every_route_is_closed_until_it_is_back() -> Result<()> {
    let mut bed = Bed::start().await?;
    bed.send("GET", "/function/f", &[], b"").await?;
    bed.gateway.reset();
    let address = bed.decisions.address;
    std::mem::replace(&mut bed.decisions, AuthzStub::start().await?).stop().await;
    for target in ["/function/f", "/system/info", "/oauth/token", "/healthz", "/"] {
        let response = bed.send("GET", target, &[], b"").await?;
        assert_eq!(response.status, 503, "{target}");
        assert_eq!(response.text(), "refused before a decision: ext_authz_error\n");
    }
    assert!(bed.gateway.recorded().is_empty());

    bed.decisions = AuthzStub::start_at(address).await?;
    bed.decisions.respond(bed::allow());
    let start = Instant::now();
    while bed.send("GET", "/function/f", &[], b"").await?.status != 200 {
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(1), "still closed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn the_access_log_has_the_decision_and_no_query_or_token() -> Result<()> {
    let bed = Bed::start().await?;
    let token = [("Authorization", "Bearer canary-token")];
    bed.send("GET", "/function/f?q=canary-query", &token, b"").await?;
    bed.send("GET", "/function/f%00?q=canary-query", &token, b"").await?;
    let mut denial = bed::allow();
    denial.status = Some(bed::status(7));
    denial.http_response = Some(bed::denied(403, "no, because\n"));
    denial.dynamic_metadata = Some(bed::metadata("deny"));
    bed.decisions.respond(denial);
    let response = bed.send("GET", "/system/info", &token, b"").await?;
    assert_eq!((response.status, response.text().as_str()), (403, "no, because\n"));
    // Envoy flushes its log every second or so.
    let start = Instant::now();
    let mut log = bed.envoy.process.output();
    while log.lines().count() < 3 && start.elapsed() < Duration::from_secs(15) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        log = bed.envoy.process.output();
    }
    let entries =
        log.lines().map(serde_json::from_str::<serde_json::Value>).collect::<Result<Vec<_>, _>>()?;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["path"], &entry["decision"], &entry["details"]))
        .map(|(path, decision, details)| format!("{path} {decision} {details}"))
        .collect();
    assert_eq!(
        seen,
        [
            r#""/function/f" "allow" "via_upstream""#,
            r#""/function/f%00" null "path_normalization_failed""#,
            r#""/system/info" "deny" "ext_authz_denied""#,
        ]
    );
    assert!(!log.contains("canary"), "{log}");
    Ok(())
}
