//! What Envoy makes of each kind of `CheckResponse`. In this protocol the zero value is *allow*:
//! these tests are why responses are made in one place, always with a `status`.

use anyhow::Result;
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;

use crate::bed::{self, Bed};
use crate::support::authz_stub::Answer;

/// Prepares an answer, sends a request, and says what came of it: status, body, and whether the
/// gateway saw it.
async fn outcome(bed: &Bed, answer: Answer) -> Result<(u16, String, bool)> {
    bed.decisions.answer(answer);
    let response = bed.send("GET", "/function/echo", &[], b"").await?;
    Ok((response.status, response.text(), bed.forwarded().is_some()))
}

fn respond(response: CheckResponse) -> Answer {
    Answer::Respond(Box::new(response))
}

fn with_status(code: i32, http_response: Option<HttpResponse>) -> Answer {
    respond(CheckResponse { status: Some(bed::status(code)), http_response, dynamic_metadata: None })
}

#[tokio::test]
async fn a_response_without_status_is_an_allow() -> Result<()> {
    let bed = Bed::start().await?;

    let (status, _, forwarded) = outcome(&bed, respond(CheckResponse::default())).await?;
    assert_eq!((status, forwarded), (200, true), "empty response");

    let denial = CheckResponse { http_response: Some(bed::denied(403, "no\n")), ..CheckResponse::default() };
    let (status, _, forwarded) = outcome(&bed, respond(denial)).await?;
    assert_eq!((status, forwarded), (200, true), "denial without status");
    Ok(())
}

#[tokio::test]
async fn a_denial_with_status_is_given_as_it_is() -> Result<()> {
    let bed = Bed::start().await?;
    for (code, http) in [(7, 403), (16, 401), (3, 400), (5, 404), (12, 405), (3, 413), (14, 503)] {
        let answer = with_status(code, Some(bed::denied(http, "no, because\n")));
        let (status, body, forwarded) = outcome(&bed, answer).await?;
        assert_eq!((i32::from(status), body.as_str(), forwarded), (http, "no, because\n", false));
    }
    Ok(())
}

#[tokio::test]
async fn a_status_alone_is_a_403_without_a_body() -> Result<()> {
    let bed = Bed::start().await?;
    let (status, body, forwarded) = outcome(&bed, with_status(7, None)).await?;
    assert_eq!((status, body.as_str(), forwarded), (403, "", false));
    Ok(())
}

#[tokio::test]
async fn a_failed_call_is_a_503_that_says_so() -> Result<()> {
    let bed = Bed::start().await?;
    for failure in [
        tonic::Status::unavailable("draining"),
        tonic::Status::internal("bug"),
        tonic::Status::permission_denied("not how it is said"),
        tonic::Status::ok("no message"),
    ] {
        let (status, body, forwarded) = outcome(&bed, Answer::Fail(failure)).await?;
        assert_eq!((status, forwarded), (503, false));
        assert_eq!(body, "refused before a decision: ext_authz_error\n");
    }
    Ok(())
}

#[tokio::test]
async fn a_late_answer_is_a_503() -> Result<()> {
    let bed = Bed::start().await?;
    let start = std::time::Instant::now();
    let (status, _, forwarded) = outcome(&bed, Answer::Hang).await?;
    assert_eq!((status, forwarded), (503, false));
    let took = start.elapsed().as_secs_f64();
    assert!((1.9..10.0).contains(&took), "took {took} s");
    Ok(())
}
