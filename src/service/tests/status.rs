//! What the admin address tells of issuers.

use axum::extract::ConnectInfo;
use tonic::{Code, Request as Call};

use super::*;
use crate::transport::admin::pb::issuer_service_server::IssuerService as _;
use crate::transport::admin::pb::{Issuer, ListIssuersRequest};

fn admin(bed: &Bed) -> Admin {
    Admin {
        state: Arc::clone(&bed.state),
        issuers: bed.keys.clone(),
        cluster: None,
        events: None,
        tokens: Arc::clone(&bed.ext_authz.tokens),
        metrics: Arc::default(),
        draining: Arc::default(),
    }
}

async fn list(admin: &Admin, peer: &str, token: Option<&str>) -> Result<Vec<Issuer>, Code> {
    let mut call = Call::new(ListIssuersRequest {});
    call.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
    if let Some(token) = token {
        call.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let response = admin.list_issuers(call).await.map_err(|status| status.code())?;
    Ok(response.into_inner().issuers)
}

#[tokio::test]
async fn issuers_are_told_with_their_keys_and_their_troubles() {
    let (a, b) = (TestKey::es256("a"), TestKey::ed25519("b"));
    let good = Stub::start(Answer::Keys(jwks([a.jwk(), b.jwk()]))).await;
    let broken = Stub::start(Answer::Status(503)).await;
    let issuers = jwt_issuer("good", &good.url, "faas")
        + &jwt_issuer("broken", &broken.url, "faas")
        + &jwt_issuer("own", OURS, "faas");
    let bed = bed(&issuers, FetchConfig::default(), SigningKeys::ephemeral().unwrap());
    bed.until_keys_of(1).await;
    let admin = admin(&bed);
    let mut told = list(&admin, "127.0.0.1", None).await.unwrap();
    while told.iter().any(|issuer| issuer.fetches == 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        told = list(&admin, "127.0.0.1", None).await.unwrap();
    }
    assert_eq!(told.len(), 2, "our own is not fetched");
    let of = |url: &str| told.iter().find(|issuer| issuer.iss == url).unwrap();
    let (good, broken) = (of(&good.url), of(&broken.url));
    assert_eq!((good.keys, &good.kids[..]), (2, &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!((good.last_error.as_str(), good.fetches, good.failed_fetches), ("", 1, 0));
    assert!(good.age.is_some() && good.next_refresh.is_some_and(|next| next.seconds >= 200));
    assert_eq!((broken.keys, broken.age), (0, None));
    assert!(broken.last_error.contains("503") && broken.failed_fetches == broken.fetches);
}

#[tokio::test]
async fn a_peer_on_another_host_needs_a_token() {
    let key = TestKey::es256("k");
    let stub = Stub::start(Answer::Keys(jwks([key.jwk()]))).await;
    let issuers = jwt_issuer("idp", &stub.url, "faas");
    let bed = bed(&issuers, FetchConfig::default(), SigningKeys::ephemeral().unwrap());
    bed.until_keys_of(1).await;
    let admin = admin(&bed);
    let token = bed.exchange(&key.token(&claims(&stub.url, "faas"))).unwrap();
    assert_eq!(list(&admin, "192.0.2.1", None).await, Err(Code::Unauthenticated));
    assert_eq!(list(&admin, "192.0.2.1", Some("a.b.c")).await, Err(Code::Unauthenticated));
    assert_eq!(list(&admin, "192.0.2.1", Some(&token)).await.unwrap().len(), 1);
    let empty = Admin {
        state: Arc::new(State::new(OURS.into(), Arc::new(SigningKeys::ephemeral().unwrap()))),
        ..admin
    };
    assert_eq!(list(&empty, "127.0.0.1", None).await, Err(Code::Unavailable));
}
