use std::sync::Mutex;

use super::fetch::{FetchError, Fetched};
use super::keeper::jittered;
use super::test_provider::{Answer, Stub, keys};
use super::*;
use crate::identity::test_issuer::{TestKey, jwks};

mod recovery;
mod tls;

/// What was published, in order: the issuer and the ids of its keys.
type Published = Arc<Mutex<Vec<(String, Option<Vec<String>>)>>>;

struct Bed {
    keys: IssuerKeys,
    wanted: watch::Sender<Vec<WantedIssuer>>,
    published: Published,
    shutdown: CancellationToken,
}

fn start(config: FetchConfig, wanted: Vec<WantedIssuer>) -> Bed {
    let (sender, receiver) = watch::channel(wanted);
    let published = Published::default();
    let shutdown = CancellationToken::new();
    let record = published.clone();
    let publish = move |iss: String, keys: Option<Arc<KeySet>>| {
        let kids = keys.map(|keys| keys.kids().map(str::to_owned).collect());
        record.lock().unwrap().push((iss, kids));
    };
    let keys = spawn(config, receiver, publish, shutdown.clone()).unwrap();
    Bed { keys, wanted: sender, published, shutdown }
}

/// Short waits; everything else as it is by default.
fn quick() -> FetchConfig {
    FetchConfig {
        timeout: Duration::from_millis(300),
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(80),
        cooldown: Duration::from_millis(300),
        ..FetchConfig::default()
    }
}

impl Bed {
    fn published(&self) -> Vec<(String, Option<Vec<String>>)> {
        self.published.lock().unwrap().clone()
    }

    fn error(&self) -> String {
        self.keys.status().first().and_then(|status| status.last_error.clone()).unwrap_or_default()
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if what(self) {
                return;
            }
            pause(10).await;
        }
        panic!("published {:?}, status {:?}", self.published(), self.keys.status());
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn some(stub: &Stub, kid: &str) -> (String, Option<Vec<String>>) {
    (stub.url.clone(), Some(vec![kid.to_owned()]))
}

#[tokio::test]
async fn keys_are_discovered_and_published_once() {
    let stub = Stub::start(keys("a")).await;
    let config = FetchConfig { refresh: Duration::from_millis(50), ..quick() };
    let bed = start(config, vec![stub.wanted()]);
    bed.until(|_| stub.counts().1 >= 3).await;
    assert_eq!(bed.published(), [some(&stub, "a")], "the same keys are published once");
    let status = bed.keys.status();
    assert_eq!((status.len(), status[0].keys.as_deref()), (1, Some(&["a".to_owned()][..])));
    assert!(
        status[0].fetched_at.is_some() && status[0].next_refresh.is_some() && status[0].last_error.is_none()
    );
    stub.set(keys("b"));
    bed.until(|bed| bed.published().last() == Some(&some(&stub, "b"))).await;
}

#[tokio::test]
async fn the_internal_address_replaces_the_issuers_own() {
    let stub =
        Stub::start(Answer::Discovery("https://idp.invalid/".into(), "https://idp.invalid/keys".into()))
            .await;
    let wanted =
        WantedIssuer { iss: "https://idp.invalid/".into(), internal: Some(format!("{}/in/", stub.url)) };
    let bed = start(quick(), vec![wanted]);
    bed.until(|bed| !bed.published().is_empty()).await;
    assert_eq!(stub.counts(), (1, 1));
}

#[tokio::test]
async fn a_document_of_another_issuer_gives_no_keys() {
    let stub = Stub::start(Answer::Silence).await;
    stub.set(Answer::Discovery(format!("{}/", stub.url), format!("{}/keys", stub.url)));
    let bed = start(quick(), vec![stub.wanted()]);
    bed.until(|bed| bed.error().contains("another issuer")).await;
    assert_eq!((bed.published().len(), stub.counts().1), (0, 0));
}

#[tokio::test]
async fn redirects_stay_at_one_origin() {
    let (stub, canary) = (Stub::start(Answer::Silence).await, Stub::start(keys("evil")).await);
    stub.set(Answer::Redirect(format!("{}/.well-known/openid-configuration", canary.url)));
    let bed = start(quick(), vec![stub.wanted()]);
    bed.until(|bed| bed.error().contains("302")).await;
    stub.set(Answer::Redirect("/.well-known/openid-configuration".into()));
    let before = stub.counts().0;
    bed.until(|_| stub.counts().0 > before + 4).await;
    assert!(bed.error().contains("302"), "{}", bed.error());
    assert_eq!((canary.counts(), bed.published().len()), ((0, 0), 0));
}

#[tokio::test]
async fn long_and_slow_answers_are_given_up() {
    let stub = Stub::start(Answer::Endless).await;
    let config = FetchConfig { timeout: Duration::from_secs(5), ..quick() };
    let bed = start(config, vec![stub.wanted()]);
    bed.until(|bed| bed.error().contains("longer than 1048576 bytes")).await;
    let slow = Stub::start(Answer::Silence).await;
    let bed = start(quick(), vec![slow.wanted()]);
    bed.until(|bed| bed.error().contains("took too long")).await;
}

#[tokio::test]
async fn a_failing_issuer_is_tried_again_with_growing_waits_and_recovers() {
    let stub = Stub::start(Answer::Status(503)).await;
    let bed = start(quick(), vec![stub.wanted()]);
    pause(700).await;
    // The waits are at least 15, 30, 60, 60, ... milliseconds.
    assert!(stub.counts().0 <= 14, "{:?} tries", stub.counts());
    bed.until(|_| stub.counts().0 >= 5).await;
    assert!(bed.error().contains("503") && bed.published().is_empty());
    stub.set(keys("a"));
    bed.until(|bed| bed.published() == [some(&stub, "a")]).await;
    assert_eq!(bed.error(), "");
}

#[tokio::test]
async fn keys_stay_in_use_while_the_issuer_fails_but_not_for_ever() {
    let same = keys("a");
    let stub = Stub::start(same.clone()).await;
    let config =
        FetchConfig { refresh: Duration::from_millis(40), max_stale: Duration::from_millis(1500), ..quick() };
    let bed = start(config, vec![stub.wanted()]);
    bed.until(|bed| bed.published().len() == 1).await;
    stub.set(Answer::Status(500));
    bed.until(|bed| bed.error().contains("500")).await;
    assert_eq!(bed.published().len(), 1, "a failure takes no keys away");
    bed.until(|bed| bed.published().last() == Some(&(stub.url.clone(), None))).await;
    assert_eq!(bed.keys.status()[0].keys, None);
    stub.set(same);
    bed.until(|bed| bed.published().last() == Some(&some(&stub, "a"))).await;
    assert_eq!(bed.published().len(), 3, "each change is told once");
}

#[tokio::test]
async fn many_unknown_keys_cause_one_fetch_in_a_cooldown() {
    let stub = Stub::start(keys("a")).await;
    let bed = start(FetchConfig { cooldown: Duration::from_secs(2), ..quick() }, vec![stub.wanted()]);
    bed.until(|bed| bed.published().len() == 1).await;
    stub.set(keys("b"));
    (0..10_000).for_each(|_| bed.keys.refetch(&stub.url));
    bed.until(|bed| bed.published().last() == Some(&some(&stub, "b"))).await;
    assert_eq!(stub.counts(), (2, 2), "the first hint is followed at once");
    for _ in 0..10 {
        bed.keys.refetch(&stub.url);
        pause(10).await;
    }
    assert_eq!(stub.counts().1, 2, "a hint in the cooldown waits for its end");
    bed.until(|_| stub.counts().1 == 3).await;
    bed.keys.refetch("https://unknown.invalid");
    assert_eq!(bed.keys.status().len(), 1);
}

#[tokio::test]
async fn one_broken_issuer_delays_no_other() {
    let (hole, good) = (Stub::start(Answer::Silence).await, Stub::start(keys("a")).await);
    let config = FetchConfig { timeout: Duration::from_secs(30), ..quick() };
    let bed = start(config, vec![hole.wanted(), good.wanted()]);
    bed.until(|bed| bed.published() == [some(&good, "a")]).await;
    (0..1000).for_each(|_| bed.keys.refetch(&hole.url));
    pause(100).await;
    assert_eq!(hole.counts().0, 1, "never more than one fetch in flight");
}

#[tokio::test]
async fn an_issuer_that_is_no_longer_wanted_is_left_alone() {
    let (a, b) = (Stub::start(keys("a")).await, Stub::start(keys("b")).await);
    let config = FetchConfig { refresh: Duration::from_millis(20), ..quick() };
    let bed = start(config, vec![a.wanted()]);
    bed.until(|bed| bed.published().len() == 1).await;
    bed.wanted.send(vec![b.wanted()]).unwrap();
    bed.until(|bed| bed.published().contains(&some(&b, "b"))).await;
    assert!(bed.published().contains(&(a.url.clone(), None)));
    let before = a.counts();
    bed.keys.refetch(&a.url);
    pause(100).await;
    assert_eq!(a.counts(), before);
    let moved = WantedIssuer { internal: Some(a.url.clone()), ..b.wanted() };
    bed.wanted.send(vec![moved]).unwrap();
    bed.until(|bed| bed.error().contains("another issuer")).await;
    bed.shutdown.cancel();
    pause(100).await;
    let (before_a, before_b) = (a.counts(), b.counts());
    pause(150).await;
    assert_eq!((a.counts(), b.counts()), (before_a, before_b), "nothing is fetched after the end");
}

/// A keeper that nobody runs.
fn keeper(config: FetchConfig) -> Keeper<Fetcher, impl Fn(String, Option<Arc<KeySet>>)> {
    let fetcher = Fetcher::new(&config).unwrap();
    let shared = Shared { config, fetcher, publish: |_, _| (), entries: Arc::default() };
    let wanted = WantedIssuer { iss: "https://idp".into(), internal: None };
    Keeper::new(wanted, Arc::new(shared), Arc::default())
}

fn fetched(max_age: Option<u64>) -> Fetched {
    let (keys, skipped) = KeySet::from_jwks(&jwks([])).unwrap();
    Fetched { keys, skipped, max_age: max_age.map(Duration::from_secs) }
}

#[tokio::test]
async fn a_stated_age_is_obeyed_within_bounds() {
    for (max_age, least, most) in
        [(None, 225, 300), (Some(1), 45, 60), (Some(600), 450, 600), (Some(u64::MAX), 2700, 3600)]
    {
        let delay = keeper(FetchConfig::default()).succeeded(fetched(max_age)).as_secs_f64();
        assert!(delay >= f64::from(least) && delay <= f64::from(most), "{max_age:?}: {delay}");
    }
}

#[tokio::test]
async fn waits_grow_and_stay_short_while_there_are_no_keys() {
    let mut failing = keeper(FetchConfig::default());
    let check = |failing: &mut Keeper<_, _>, most: u32| {
        let delay = failing.failed(&FetchError::Discovery).as_secs_f64();
        assert!(delay >= f64::from(most) * 0.75 && delay <= f64::from(most), "{delay} of {most}");
    };
    [1, 2, 4, 4, 4, 4].into_iter().for_each(|most| check(&mut failing, most));
    failing.succeeded(fetched(None));
    [1, 2, 4, 8, 16, 32, 60, 60, 60].into_iter().for_each(|most| check(&mut failing, most));
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_told_apart() {
    let check = |pem: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, pem).unwrap();
        let config = FetchConfig { ca_bundle: Some(file.path().to_owned()), ..FetchConfig::default() };
        spawn(config, watch::channel(Vec::new()).1, |_, _| (), CancellationToken::new()).unwrap_err()
    };
    assert_eq!(check(""), InvalidCertificates::None);
    assert_eq!(check("not PEM"), InvalidCertificates::None);
    let malformed = check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(matches!(malformed, InvalidCertificates::Malformed(_)), "{malformed}");
}

#[test]
fn jitter_only_shortens() {
    for _ in 0..100 {
        let wait = jittered(Duration::from_secs(100));
        assert!((Duration::from_secs(75)..=Duration::from_secs(100)).contains(&wait), "{wait:?}");
    }
}
