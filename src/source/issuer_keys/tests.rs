use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Uri;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::identity::test_issuer::{TestKey, jwks};

/// How an issuer answers.
#[derive(Clone)]
enum Answer {
    Keys(Vec<u8>),
    Status(u16),
    /// Never.
    Silence,
    /// The discovery document of this `issuer` and this `jwks_uri`.
    Discovery(String, String),
    /// A redirect of the discovery document.
    Redirect(String),
    /// A body that does not end.
    Endless,
}

struct Stub {
    url: String,
    answer: Mutex<Answer>,
    discoveries: AtomicUsize,
    key_sets: AtomicUsize,
}

impl Stub {
    async fn start(answer: Answer) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counts = (AtomicUsize::new(0), AtomicUsize::new(0));
        let stub = Self { url, answer: Mutex::new(answer), discoveries: counts.0, key_sets: counts.1 };
        let stub = Arc::new(stub);
        let router = Router::new().fallback(serve).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        stub
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn wanted(&self) -> WantedIssuer {
        WantedIssuer { iss: self.url.clone(), internal: None }
    }

    fn counts(&self) -> (usize, usize) {
        (self.discoveries.load(Ordering::SeqCst), self.key_sets.load(Ordering::SeqCst))
    }
}

async fn serve(State(stub): State<Arc<Stub>>, uri: Uri) -> Response {
    let answer = stub.answer.lock().unwrap().clone();
    let discovery = uri.path().ends_with("/.well-known/openid-configuration");
    let count = if discovery { &stub.discoveries } else { &stub.key_sets };
    count.fetch_add(1, Ordering::SeqCst);
    let document = |iss: &str, keys: &str| Body::from(json!({"issuer": iss, "jwks_uri": keys}).to_string());
    let response = Response::builder();
    match answer {
        Answer::Status(status) => response.status(status).body(Body::empty()),
        Answer::Silence => std::future::pending().await,
        Answer::Endless => {
            let chunks =
                futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(vec![b' '; 64 * 1024]));
            response.body(Body::from_stream(chunks))
        }
        Answer::Discovery(iss, keys) if discovery => response.body(document(&iss, &keys)),
        Answer::Redirect(to) if discovery => response.status(302).header("location", to).body(Body::empty()),
        Answer::Keys(_) if discovery => response.body(document(&stub.url, &format!("{}/keys", stub.url))),
        Answer::Keys(keys) => response.body(Body::from(keys)),
        Answer::Discovery(..) | Answer::Redirect(_) => {
            response.body(Body::from(jwks([TestKey::es256("k").jwk()])))
        }
    }
    .unwrap()
}

fn keys(kid: &str) -> Answer {
    Answer::Keys(jwks([TestKey::es256(kid).jwk()]))
}

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

#[tokio::test]
async fn the_service_accounts_token_never_travels_in_the_clear() {
    let stub = Stub::start(keys("a")).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "service-account-token\n").unwrap();
    let cluster =
        ClusterIssuer { iss: stub.url.clone(), ca_pem: Vec::new(), token_file: file.path().to_owned() };
    let bed = start(FetchConfig { cluster: Some(cluster.clone()), ..quick() }, vec![stub.wanted()]);
    bed.until(|bed| !bed.error().is_empty()).await;
    assert_eq!(stub.counts(), (0, 0));
    let missing = ClusterIssuer { token_file: "does/not/exist".into(), ..cluster };
    let bed = start(FetchConfig { cluster: Some(missing), ..quick() }, vec![stub.wanted()]);
    bed.until(|bed| bed.error().contains("service account's token")).await;
}

#[tokio::test]
async fn a_stated_age_is_obeyed_within_bounds_and_bad_certificates_are_an_error() {
    let config = FetchConfig::default();
    let keeper = |config: FetchConfig| Keeper {
        wanted: WantedIssuer { iss: "https://idp".into(), internal: None },
        fetcher: Arc::new(Fetcher::new(&config).unwrap()),
        config: Arc::new(config),
        publish: Arc::new(|_, _| ()),
        entries: Arc::default(),
        hint: Arc::default(),
        held: None,
        failures: 0,
    };
    for (max_age, least, most) in
        [(None, 225, 300), (Some(1), 45, 60), (Some(600), 450, 600), (Some(u64::MAX), 2700, 3600)]
    {
        let (keys, skipped) = KeySet::from_jwks(&jwks([])).unwrap();
        let fetched = Fetched { keys, skipped, max_age: max_age.map(Duration::from_secs) };
        let delay = keeper(config.clone()).succeeded(fetched).as_secs_f64();
        assert!(delay >= f64::from(least) && delay <= f64::from(most), "{max_age:?}: {delay}");
    }
    let mut failing = keeper(config.clone());
    for most in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let delay = failing.failed(&FetchError::Discovery).as_secs_f64();
        assert!(delay >= f64::from(most) * 0.75 && delay <= f64::from(most), "{delay} of {most}");
    }
    let bad = FetchConfig {
        ca_bundle_pem: Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec()),
        ..config
    };
    assert!(spawn(bad, watch::channel(Vec::new()).1, |_, _| (), CancellationToken::new()).is_err());
}

#[test]
fn jitter_only_shortens() {
    for _ in 0..100 {
        let wait = jittered(Duration::from_secs(100));
        assert!((Duration::from_secs(75)..=Duration::from_secs(100)).contains(&wait), "{wait:?}");
    }
}
