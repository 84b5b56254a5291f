//! A cluster that stops confirming what is known of it: `--max-staleness`.

use super::*;
use crate::source::kubernetes::Timing;
use crate::source::kubernetes::test_api_server::{ApiServer, NAMESPACE};

const LIMIT: Duration = Duration::from_millis(400);

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn what_is_too_old_is_not_in_force_until_it_is_confirmed() {
    let server = ApiServer::start().await;
    let timing = Timing { backoff_max: Duration::from_millis(50), ..Timing::default() };
    let kubeconfig = Some(server.kubeconfig.clone());
    let cluster = Cluster { kubeconfig, timing, ..Cluster::new(NAMESPACE.to_owned()) };
    let state = Arc::new(State::new(OURS.into(), Arc::new(SigningKeys::ephemeral().unwrap())));
    let status = kubernetes::Status::default();
    let (health, _) = tonic_health::server::health_reporter();
    let publisher = watch::Publisher::new(Arc::clone(&state), health);
    let mut tasks = JoinSet::new();
    tasks.spawn(watch::cluster(cluster, Defaults::default(), status.clone(), publisher));
    tasks.spawn(watch::age(status.clone(), Some(LIMIT), Arc::clone(&state)));
    let stop = CancellationToken::new();
    let issuers =
        issuer_keys::spawn(FetchConfig::default(), state.wanted(), |_, _| {}, stop.clone()).unwrap();
    let ext_authz = ExtAuthz {
        state: Arc::clone(&state),
        settings: Settings::default(),
        gateway: None,
        metrics: Arc::default(),
        tokens: Arc::new(TokenCache::new(1 << 20)),
        admin_basic_auth: false,
    };
    // Whatever comes confirms that nothing else was missed.
    let pulse = Arc::clone(&server);
    tasks.spawn(async move {
        loop {
            pulse.put("policies", "pulse", json!({}));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let unavailable = i32::from(tonic::Code::Unavailable);
    until("in force", || state.current().is_some()).await;
    assert_ne!(check(&ext_authz, "x").await, unavailable);

    server.refuse_watches(Some(500));
    for plural in ["jwtissuers", "policies", "roles"] {
        server.refuse_lists(plural, Some(500));
    }
    server.end_watches(None);
    until("too old", || state.is_too_old()).await;
    assert!(status.age().is_some_and(|age| age > LIMIT) && state.current().is_none());
    assert_eq!(check(&ext_authz, "x").await, unavailable);
    let admin = Admin {
        state: Arc::clone(&state),
        issuers: issuers.clone(),
        cluster: Some(status.clone()),
        events: None,
        tokens: Arc::clone(&ext_authz.tokens),
        metrics: Arc::default(),
        draining: Arc::default(),
    };
    assert!(!admin.is_ready());

    server.refuse_watches(None);
    for plural in ["jwtissuers", "policies", "roles"] {
        server.refuse_lists(plural, None);
    }
    until("in force again", || state.current().is_some()).await;
    assert_ne!(check(&ext_authz, "x").await, unavailable);
    stop.cancel();
}
