//! What identity providers see, and what their troubles cost.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_and_fifty_registrations_cause_one_fetch() {
    let key = TestKey::es256("k");
    let stub = Stub::start(Answer::Held).await;
    let issuers: String =
        (0..50).map(|i| jwt_issuer(&format!("idp-{i}"), &stub.url, &format!("aud-{i}"))).collect();
    let bed = bed(&issuers, FetchConfig::default(), SigningKeys::ephemeral().unwrap());
    let tokens: Arc<Vec<_>> =
        Arc::new((0..1000).map(|i| key.token(&claims(&stub.url, &format!("aud-{}", i % 50)))).collect());
    let issued = async || {
        let mut requests = JoinSet::new();
        for i in 0..tokens.len() {
            let (bed, tokens) = (Arc::clone(&bed), Arc::clone(&tokens));
            requests.spawn(async move { bed.exchange(&tokens[i]).is_ok() });
        }
        requests.join_all().await.into_iter().filter(|issued| *issued).count()
    };
    assert_eq!(issued().await, 0, "without keys nobody is known");
    stub.set(Answer::Keys(jwks([key.jwk()])));
    bed.until_keys_of(1).await;
    assert_eq!(issued().await, 1000);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(stub.counts(), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_key_ids_cause_one_fetch_and_cost_no_good_token() {
    let key = TestKey::es256("good");
    let stub = Stub::start(Answer::Keys(jwks([key.jwk()]))).await;
    let issuers = jwt_issuer("idp", &stub.url, "faas");
    let bed = bed(&issuers, FetchConfig::default(), SigningKeys::ephemeral().unwrap());
    bed.until_keys_of(1).await;
    let claims = claims(&stub.url, "faas");
    let good = key.token(&claims);
    let mut issued = 0;
    for i in 0..10_000 {
        let forged = key.token_with(&json!({"alg": "ES256", "kid": format!("random-{i}")}), &claims);
        assert!(bed.exchange(&forged).is_err());
        if i % 50 == 0 {
            issued += usize::from(bed.exchange(&good).is_ok());
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(issued, 200);
    let (discoveries, key_sets) = stub.counts();
    assert!(discoveries <= 2 && key_sets <= 2, "the first fetch, and one that the unknown keys asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_in_trouble_cost_no_token_of_another() {
    let key = TestKey::es256("good");
    let good = Stub::start(Answer::Keys(jwks([key.jwk()]))).await;
    let canary = Stub::start(Answer::Keys(jwks([key.jwk()]))).await;
    let hanging = Stub::start(Answer::Silence).await;
    let troubled = [
        Stub::start(Answer::Status(500)).await,
        Stub::start(Answer::Long(10_000_000)).await,
        Stub::start(Answer::Redirect(format!("{}/.well-known/openid-configuration", canary.url))).await,
    ];
    let all = troubled.iter().chain([&hanging, &good]).enumerate();
    let issuers: String = all.map(|(i, stub)| jwt_issuer(&format!("idp-{i}"), &stub.url, "faas")).collect();
    let fetch = FetchConfig {
        timeout: Duration::from_secs(60),
        backoff_min: Duration::from_millis(10),
        backoff_max_without_keys: Duration::from_millis(20),
        cooldown: Duration::from_millis(20),
        ..FetchConfig::default()
    };
    let bed = bed(&issuers, fetch, SigningKeys::ephemeral().unwrap());
    bed.until_keys_of(1).await;
    let mut issued = 0;
    while troubled.iter().any(|stub| stub.counts().0 < 5) {
        for stub in troubled.iter().chain([&hanging]) {
            assert!(bed.exchange(&key.token(&claims(&stub.url, "faas"))).is_err());
        }
        let token = bed.exchange(&key.token(&claims(&good.url, "faas"))).unwrap();
        assert_eq!(bed.check(&token).await, 0);
        issued += 1;
        tokio::task::yield_now().await;
    }
    assert!(issued > 5, "{issued}");
    assert_eq!((hanging.counts(), good.counts(), canary.counts()), ((1, 0), (1, 1), (0, 0)));
    let errors: BTreeMap<_, _> =
        bed.keys.status().into_iter().map(|status| (status.iss, status.last_error)).collect();
    for (stub, error) in troubled.iter().zip(["500", "longer than 1048576 bytes", "302"]) {
        let found = errors[&stub.url].as_deref().unwrap_or_default();
        assert!(found.contains(error), "{found}");
    }
}

#[tokio::test]
async fn a_removed_issuer_ends_what_was_verified_at_once() {
    let key = TestKey::es256("good");
    let stub = Stub::start(Answer::Keys(jwks([key.jwk()]))).await;
    let with = jwt_issuer("idp", &stub.url, "faas");
    let bed = bed(&with, FetchConfig::default(), SigningKeys::ephemeral().unwrap());
    bed.until_keys_of(1).await;
    let token = bed.exchange(&key.token(&claims(&stub.url, "faas"))).unwrap();
    for _ in 0..3 {
        assert_eq!(bed.check(&token).await, 0);
    }
    assert_eq!(bed.ext_authz.tokens.figures().hits, 2);
    for objects in [String::new(), jwt_issuer("idp", &stub.url, "other")] {
        bed.state.publish_objects(bundle(&objects));
        assert_ne!(bed.check(&token).await, 0);
        bed.state.publish_objects(bundle(&with));
        assert_eq!(bed.check(&token).await, 0);
    }
}
