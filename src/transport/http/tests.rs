use std::sync::Mutex;

use http::{Method, Request};
use http_body_util::BodyExt as _;
use tower::Service as _;

use super::*;
use crate::identity::{Claims, Principal};

mod end_to_end;

struct Stub {
    answer: Result<Success, ExchangeFailure>,
    asked: Mutex<Vec<(String, Option<IpAddr>)>>,
}

impl TokenService for Stub {
    fn exchange(&self, parameters: Parameters, client: Option<IpAddr>) -> Result<Success, ExchangeFailure> {
        self.asked.lock().unwrap().push((format!("{parameters:?}"), client));
        self.answer.clone()
    }

    fn jwks(&self) -> String {
        r#"{"keys":[]}"#.into()
    }

    fn issuer(&self) -> &'static str {
        "https://gw.example.com"
    }
}

fn stub(answer: Result<Success, ExchangeFailure>) -> Arc<Stub> {
    Arc::new(Stub { answer, asked: Mutex::default() })
}

fn success() -> Success {
    Success {
        access_token: "t".into(),
        expires_in: 60,
        scope: None,
        token_id: "1".into(),
        principal: Principal { issuer: "i".into(), subject: "s".into(), claims: Claims::default() },
    }
}

fn request(method: Method, uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

async fn send(service: &Arc<Stub>, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = router(service.clone(), RateLimit::default()).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

#[tokio::test]
async fn a_token_is_issued_and_kept_by_nobody() {
    let service = stub(Ok(success()));
    let headers = [FORM, (CLIENT_ADDRESS, "192.0.2.7")];
    let (status, headers, body) =
        send(&service, request(Method::POST, "/oauth/token?scope=", &headers, "subject_token=x")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&headers["cache-control"], &headers["pragma"]),
        (&"no-store".parse().unwrap(), &"no-cache".parse().unwrap())
    );
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["access_token"], "t");
    let asked = service.asked.lock().unwrap().clone();
    assert_eq!(asked, [(r#"["scope", "subject_token"]"#.to_owned(), Some("192.0.2.7".parse().unwrap()))]);
}

#[tokio::test]
async fn a_query_alone_needs_no_content_type() {
    let service = stub(Ok(success()));
    let (status, ..) = send(&service, request(Method::POST, "/oauth/token?subject_token=x", &[], "")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn failures_have_their_status_and_are_kept_by_nobody() {
    let oauth = ExchangeFailure::OAuth(OAuthError::new(ErrorCode::InvalidTarget, "no"));
    for (failure, status, code) in [
        (oauth, StatusCode::BAD_REQUEST, "invalid_target"),
        (ExchangeFailure::NotReady, StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        (ExchangeFailure::Internal, StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    ] {
        let service = stub(Err(failure.clone()));
        let (actual, headers, body) =
            send(&service, request(Method::POST, TOKEN_PATH, &[FORM], "subject_token=x")).await;
        assert_eq!(actual, status);
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers.contains_key("retry-after"), failure == ExchangeFailure::NotReady);
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["error"], code);
    }
}

#[tokio::test]
async fn each_client_has_its_own_limit() {
    let mut routes = router(stub(Ok(success())), RateLimit::new(1, 2));
    let mut ask = async |client: &str| {
        let headers = [FORM, (CLIENT_ADDRESS, client)];
        routes.call(request(Method::POST, TOKEN_PATH, &headers, "subject_token=x")).await.unwrap()
    };
    assert_eq!(ask("192.0.2.1").await.status(), StatusCode::OK);
    assert_eq!(ask("192.0.2.1").await.status(), StatusCode::OK);
    let refused = ask("192.0.2.1").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        (&refused.headers()["retry-after"], &refused.headers()["cache-control"]),
        (&"1".parse().unwrap(), &"no-store".parse().unwrap())
    );
    assert_eq!(ask("192.0.2.2").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_that_are_no_short_form_are_refused() {
    let service = stub(Ok(success()));
    let json = [("content-type", "application/json")];
    let (status, _, body) = send(&service, request(Method::POST, TOKEN_PATH, &json, "{}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("invalid_request"));
    let (status, headers, body) =
        send(&service, request(Method::POST, TOKEN_PATH, &[FORM], vec![b'a'; MAX_BODY + 1])).await;
    assert_eq!(
        (status, &headers["cache-control"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &"no-store".parse().unwrap())
    );
    assert!(body.contains("invalid_request"));
    assert!(service.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_documents_tell_where_everything_is() {
    let service = stub(Ok(success()));
    let (status, headers, body) = send(&service, request(Method::GET, DISCOVERY_PATH, &[], "")).await;
    assert_eq!((status, &headers["cache-control"]), (StatusCode::OK, &PUBLIC_CACHE));
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["issuer"], "https://gw.example.com");
    assert_eq!(document["token_endpoint"], "https://gw.example.com/oauth/token");
    assert_eq!(document["jwks_uri"], "https://gw.example.com/.well-known/jwks.json");
    let (status, headers, body) = send(&service, request(Method::GET, JWKS_PATH, &[], "")).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::OK, "application/json"));
    assert_eq!(body, r#"{"keys":[]}"#);
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_with_a_line() {
    let service = stub(Ok(success()));
    for (method, path, status, allow) in [
        (Method::GET, TOKEN_PATH, StatusCode::METHOD_NOT_ALLOWED, Some("POST")),
        (Method::PUT, TOKEN_PATH, StatusCode::METHOD_NOT_ALLOWED, Some("POST")),
        (Method::POST, JWKS_PATH, StatusCode::METHOD_NOT_ALLOWED, Some("GET,HEAD")),
        (Method::GET, "/", StatusCode::NOT_FOUND, None),
        (Method::POST, "/oauth/token/", StatusCode::NOT_FOUND, None),
        (Method::GET, "/metrics", StatusCode::NOT_FOUND, None),
    ] {
        let (actual, headers, body) = send(&service, request(method, path, &[FORM], "")).await;
        assert_eq!(actual, status, "{path}");
        assert_eq!(headers.get("allow").map(|value| value.to_str().unwrap()), allow, "{path}");
        assert!(!body.is_empty());
    }
    assert!(service.asked.lock().unwrap().is_empty());
}

#[test]
fn the_client_address_is_stated_once_or_is_unknown() {
    let of = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        values.iter().for_each(|value| {
            headers.append(CLIENT_ADDRESS, HeaderValue::from_static(value));
        });
        client_address(&headers)
    };
    assert_eq!(of(&["2001:db8::1"]), Some("2001:db8::1".parse().unwrap()));
    for values in [&[][..], &["192.0.2.1", "192.0.2.2"], &["192.0.2.1, 192.0.2.2"], &["evil"], &[""]] {
        assert_eq!(of(values), None);
    }
}

/// Otherwise who sends bodies slowly could hold all places there are.
#[tokio::test]
async fn the_limit_counts_before_the_body_is_there() {
    let limit = RateLimit::new(1, 1);
    let mut service = router(stub(Ok(success())), limit);
    let from = [(CLIENT_ADDRESS, "192.0.2.1")];
    let endless = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let first = service.call(request(Method::POST, TOKEN_PATH, &from, Body::empty())).await.unwrap();
    assert_ne!(first.status(), StatusCode::TOO_MANY_REQUESTS);
    let second = service.call(request(Method::POST, TOKEN_PATH, &from, endless()));
    let second = tokio::time::timeout(Duration::from_secs(5), second).await.unwrap().unwrap();
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
}
