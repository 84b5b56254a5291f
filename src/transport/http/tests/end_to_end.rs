//! A provider on the network, the fetch of its keys, the exchange over HTTP, and the token that
//! comes of it.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::identity::test_issuer::{TestKey, jwks};
use crate::identity::{Issuers, OwnIssuer, TokenKind, TrustedIssuer, verify_own};
use crate::source::issuer_keys::{FetchConfig, IssuerKeys, spawn};
use crate::token::{ExchangeContext, Grants, Inputs, Invocations, Refusal, SigningKeys, exchange};

const OURS: &str = "https://gw.example.com";

struct Live {
    issuers: Arc<Mutex<Issuers>>,
    keys: IssuerKeys,
    signing: SigningKeys,
    own: OwnIssuer,
}

struct Everyone;

impl Grants for Everyone {
    fn policies(&self, _: &Principal, _: &ExchangeContext) -> Vec<String> {
        vec!["all".into()]
    }

    fn invocations(&self, _: &Principal, _: &ExchangeContext) -> Invocations {
        Invocations::default()
    }

    fn may_invoke(&self, _: &Principal, _: &ExchangeContext, _: &str, _: &str) -> bool {
        false
    }
}

impl TokenService for Live {
    fn exchange(&self, parameters: Parameters, client: Option<IpAddr>) -> Result<Success, ExchangeFailure> {
        let issuers = self.issuers.lock().unwrap().clone();
        let inputs = Inputs { own: &self.own, issuers: &issuers, grants: &Everyone, signing: &self.signing };
        let context = ExchangeContext { source_ip: client, now: now() };
        exchange(parameters, &inputs, &context).map_err(|refusal| match refusal {
            Refusal::Request { error, refetch, .. } => {
                refetch.iter().for_each(|iss| self.keys.refetch(iss));
                ExchangeFailure::OAuth(error)
            }
            Refusal::SigningFailed => ExchangeFailure::Internal,
        })
    }

    fn jwks(&self) -> String {
        self.signing.jwks_json().to_owned()
    }

    fn issuer(&self) -> &str {
        self.own.url()
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// An identity provider whose keys can be replaced.
async fn provider(keys: Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let iss = format!("http://{}", listener.local_addr().unwrap());
    let document = json!({"issuer": iss, "jwks_uri": format!("{iss}/keys")}).to_string();
    let routes = Router::new()
        .route("/.well-known/openid-configuration", get(async move || document))
        .route("/keys", get(async move || keys.lock().unwrap().clone()));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    iss
}

async fn ask(service: &Arc<Live>, token: &str) -> (StatusCode, Value) {
    let form = format!(
        "grant_type={}&subject_token_type={}&subject_token={token}",
        oauth::GRANT_TYPE_TOKEN_EXCHANGE,
        oauth::TOKEN_TYPE_JWT
    );
    let request = request(Method::POST, TOKEN_PATH, &[FORM], form);
    let response = router(service.clone(), RateLimit::default()).call(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Asks until a token is issued.
async fn ask_until_issued(service: &Arc<Live>, token: &str) -> String {
    for _ in 0..500 {
        let (status, body) = ask(service, token).await;
        if status == StatusCode::OK {
            return body["access_token"].as_str().unwrap().to_owned();
        }
        assert_eq!(body["error"], "invalid_request");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no token is issued: {:?}", service.keys.status());
}

#[tokio::test]
async fn a_token_of_a_provider_becomes_one_of_ours_and_a_rotated_key_is_found() {
    let (old, new) = (TestKey::rsa("old"), TestKey::es256("new"));
    let served = Arc::new(Mutex::new(jwks([old.jwk()])));
    let iss = provider(served.clone()).await;

    let registration = TrustedIssuer {
        name: "idp".into(),
        audiences: vec!["faas".into()],
        token_lifetime: Duration::from_secs(600),
    };
    let mut issuers = Issuers::new(OURS);
    issuers.register(iss.as_str(), None, [registration]);
    let (_keep, wanted) = watch::channel(issuers.wanted());
    let issuers = Arc::new(Mutex::new(issuers));
    let shutdown = CancellationToken::new();
    let publish = {
        let issuers = issuers.clone();
        move |iss: String, keys| issuers.lock().unwrap().set_keys(&iss, keys)
    };
    let keys = spawn(FetchConfig::default(), wanted, publish, shutdown.clone()).unwrap();
    let signing = SigningKeys::ephemeral().unwrap();
    let own = signing.issuer(OURS);
    let service = Arc::new(Live { issuers: issuers.clone(), keys, signing, own });

    let claims = json!({"iss": iss, "sub": "alice", "aud": "faas", "exp": now() + 60});
    let issued = ask_until_issued(&service, &old.token(&claims)).await;
    let issuers_now = issuers.lock().unwrap().clone();
    let own = verify_own(&issued, &service.own, &issuers_now, now()).unwrap();
    assert_eq!((own.principal.subject.as_str(), own.kind), ("alice", TokenKind::Api));

    *served.lock().unwrap() = jwks([new.jwk()]);
    let (status, body) = ask(&service, &new.token(&claims)).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
    ask_until_issued(&service, &new.token(&claims)).await;
    let (status, _) = ask(&service, &old.token(&claims)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "a withdrawn key is no longer accepted");
    shutdown.cancel();
}
