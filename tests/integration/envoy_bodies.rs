//! What Envoy does with request bodies under `envoy/envoy.yaml`.

use anyhow::{Context as _, Result};

use crate::bed::Bed;
use crate::support::http;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn bodies_arrive_whole_or_not_at_all() -> Result<()> {
    let bed = Bed::start().await?;
    for (target, limit) in [
        ("/system/functions", MIB),
        ("/system/scale-function/f", MIB),
        ("/system/namespace/", MIB),
        ("/system/secrets", 8 * MIB),
    ] {
        let body = vec![0xff; limit + 1];
        for chunked in [false, true] {
            send_body(&bed, target, &body[..limit], chunked).await?;
            let seen = bed.checked()?;
            assert_eq!(seen.raw_body.len(), limit, "{target}");
            assert_eq!(seen.body, "", "{target}");
            assert_eq!(seen.headers["x-envoy-auth-partial-body"], "false");
            assert_eq!(seen.headers.contains_key("content-length"), !chunked);
            assert_eq!(bed.forwarded().context("lost")?.body.len(), limit);

            let response = send_body(&bed, target, &body, chunked).await?;
            assert_eq!(response.status, 413, "{target}");
            assert_eq!(response.text(), "refused before a decision: request_payload_too_large\n");
            assert!(bed.decisions.take_calls().is_empty(), "{target}");
            assert!(bed.forwarded().is_none(), "{target}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn other_routes_stream_and_the_service_gets_no_body() -> Result<()> {
    let bed = Bed::start().await?;
    let body = vec![b'x'; 9 * MIB];
    for target in ["/function/f", "/async-function/f", "/system/info", "/oauth/token"] {
        for chunked in [false, true] {
            send_body(&bed, target, &body, chunked).await?;
            let seen = bed.checked()?;
            assert!(seen.raw_body.is_empty() && seen.body.is_empty(), "{target}");
            assert!(!seen.headers.contains_key("x-envoy-auth-partial-body"));
            bed.gateway.reset();
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_body_may_wait_for_100_continue_or_come_over_http2() -> Result<()> {
    let bed = Bed::start().await?;
    let expect = [("Expect", "100-continue")];
    let response = bed.send("POST", "/system/functions", &expect, b"{}").await?;
    assert_eq!(response.status, 100, "the interim answer comes first");
    assert_eq!(bed.checked()?.raw_body, b"{}");
    bed.gateway.reset();

    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build()?;
    let url = format!("{}/system/functions", bed.envoy.url);
    let body = vec![b' '; MIB];
    let response = client.post(&url).body(body).send().await?;
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    let seen = bed.checked()?;
    assert_eq!((seen.raw_body.len(), seen.protocol.as_str()), (MIB, "HTTP/2"));
    Ok(())
}

/// Over HTTP/2 a body that passes the limit within the last frame is not refused by Envoy: it goes
/// to the service cut off, and marked so. To refuse it is the service's part.
#[tokio::test]
async fn a_longer_body_over_http2_is_413_or_marked_as_partial() -> Result<()> {
    let bed = Bed::start().await?;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build()?;
    let url = format!("{}/system/functions", bed.envoy.url);
    let mut marked = 0;
    for excess in [1, 100, 16 * 1024, MIB] {
        let body = vec![b' '; MIB + excess];
        let response = client.post(&url).body(body).send().await?;
        if response.status() == 413 {
            assert!(bed.decisions.take_calls().is_empty());
            continue;
        }
        let seen = bed.checked()?;
        assert_eq!(seen.headers["x-envoy-auth-partial-body"], "true");
        assert_eq!(seen.raw_body.len(), MIB);
        marked += 1;
    }
    assert!(marked > 0, "Envoy refuses all of them now: say so in envoy.yaml");
    Ok(())
}

async fn send_body(bed: &Bed, target: &str, body: &[u8], chunked: bool) -> Result<http::RawResponse> {
    if !chunked {
        return bed.send("POST", target, &[], body).await;
    }
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    );
    let bytes = [head.as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
    http::raw(bed.address(), &bytes).await
}
