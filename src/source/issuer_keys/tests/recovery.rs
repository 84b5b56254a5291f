//! How soon keys are usable again, with a clock that only waits move.

use std::collections::VecDeque;

use tokio::time::{Instant, sleep};

use super::super::fetch::{Fetch, FetchError, Fetched};
use super::*;

/// How a provider behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Provider {
    /// It refuses at once.
    Down,
    /// It answers only after as long as anyone waits.
    Hangs,
    /// It gives its keys.
    Up,
}

/// A provider without a network. Fetches take as long as they would.
#[derive(Clone)]
struct Fake {
    behaviour: Arc<Mutex<Provider>>,
    fetches: Arc<Mutex<Vec<Instant>>>,
    document: Vec<u8>,
}

impl Fake {
    fn new(behaviour: Provider) -> Self {
        let document = jwks([TestKey::es256("a").jwk()]);
        Self { behaviour: Arc::new(Mutex::new(behaviour)), fetches: Arc::default(), document }
    }

    fn set(&self, behaviour: Provider) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    fn count(&self) -> usize {
        self.fetches.lock().unwrap().len()
    }
}

impl Fetch for Fake {
    async fn fetch(&self, _: &WantedIssuer) -> Result<Fetched, FetchError> {
        self.fetches.lock().unwrap().push(Instant::now());
        let behaviour = *self.behaviour.lock().unwrap();
        match behaviour {
            Provider::Down => Err(FetchError::Discovery),
            Provider::Hangs => {
                sleep(Duration::from_secs(5)).await;
                Err(FetchError::Discovery)
            }
            Provider::Up => {
                let (keys, skipped) = KeySet::from_jwks(&self.document).unwrap();
                Ok(Fetched { keys, skipped, max_age: None })
            }
        }
    }
}

/// Whether keys were published, and when.
type Log = Arc<Mutex<Vec<(bool, Instant)>>>;

fn wanted(iss: &str) -> WantedIssuer {
    WantedIssuer { iss: iss.into(), internal: None }
}

struct Run {
    fake: Fake,
    log: Log,
    keys: IssuerKeys,
    _wanted: watch::Sender<Vec<WantedIssuer>>,
    shutdown: CancellationToken,
}

fn run(behaviour: Provider, config: FetchConfig) -> Run {
    let (fake, log) = (Fake::new(behaviour), Log::default());
    let (sender, receiver) = watch::channel(vec![wanted("https://idp")]);
    let (shutdown, record) = (CancellationToken::new(), log.clone());
    let publish = move |_: String, keys: Option<Arc<KeySet>>| {
        record.lock().unwrap().push((keys.is_some(), Instant::now()));
    };
    let keys = spawn_with(fake.clone(), config, receiver, publish, shutdown.clone());
    Run { fake, log, keys, _wanted: sender, shutdown }
}

impl Run {
    /// How long it takes from now until keys are published.
    async fn time_until_keys(&self) -> Duration {
        let (from, before) = (Instant::now(), self.log.lock().unwrap().len());
        loop {
            sleep(Duration::from_millis(10)).await;
            let log = self.log.lock().unwrap();
            if let Some((true, at)) = log.get(before..).and_then(|new| new.last()) {
                return at.saturating_duration_since(from);
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_usable_within_five_seconds_of_a_providers_return() {
    for minutes in [0, 1, 10, 600] {
        for offset in [0, 700, 1400, 2100, 2800, 3500] {
            let run = run(Provider::Down, FetchConfig::default());
            sleep(Duration::from_secs(minutes * 60) + Duration::from_millis(offset)).await;
            run.fake.set(Provider::Up);
            let took = run.time_until_keys().await;
            assert!(took <= Duration::from_secs(5), "after {minutes} min {offset} ms: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hung_is_found_again_within_five_seconds_and_not_flooded_before() {
    for offset in [0, 10, 900, 1800, 2700, 3600, 4500, 4990] {
        let run = run(Provider::Hangs, FetchConfig::default());
        sleep(Duration::from_secs(600) + Duration::from_millis(offset)).await;
        assert!((115..=125).contains(&run.fake.count()), "{} tries in ten minutes", run.fake.count());
        run.fake.set(Provider::Up);
        let took = run.time_until_keys().await;
        assert!(took <= Duration::from_secs(5), "{offset} ms: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_is_not_flooded() {
    let run = run(Provider::Down, FetchConfig::default());
    sleep(Duration::from_secs(60)).await;
    assert!((15..=23).contains(&run.fake.count()), "{} tries in a minute without keys", run.fake.count());
    run.fake.set(Provider::Up);
    run.time_until_keys().await;
    run.fake.set(Provider::Down);
    let before = run.fake.count();
    sleep(Duration::from_secs(60 * 60)).await;
    let tries = run.fake.count() - before;
    assert!((55..=90).contains(&tries), "{tries} tries in an hour with keys");
    assert_eq!(run.log.lock().unwrap().len(), 1, "keys in use stay so");
}

#[tokio::test(start_paused = true)]
async fn keys_that_go_out_of_use_are_sought_at_the_short_interval_again() {
    let run =
        run(Provider::Up, FetchConfig { max_stale: Duration::from_secs(1800), ..FetchConfig::default() });
    run.time_until_keys().await;
    run.fake.set(Provider::Down);
    while run.log.lock().unwrap().last().is_some_and(|(keys, _)| *keys) {
        sleep(Duration::from_millis(50)).await;
    }
    run.fake.set(Provider::Up);
    let took = run.time_until_keys().await;
    assert!(took <= Duration::from_secs(5), "{took:?}");
    let status = &run.keys.status()[0];
    assert_eq!((status.usable, status.last_error.as_deref()), (1, None));
    assert!(status.failed_fetches > 20 && status.fetches > status.failed_fetches);
}

#[tokio::test(start_paused = true)]
async fn hints_during_a_fetch_are_answered_by_it() {
    let run = run(Provider::Hangs, FetchConfig::default());
    sleep(Duration::from_secs(1)).await;
    (0..1000).for_each(|_| run.keys.refetch("https://idp"));
    run.fake.set(Provider::Up);
    run.time_until_keys().await;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(run.fake.count(), 2, "the one that hung and the next");
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_cause_one_fetch_in_a_cooldown_however_long_they_come() {
    let run = run(Provider::Up, FetchConfig { refresh: Duration::from_secs(3600), ..FetchConfig::default() });
    run.time_until_keys().await;
    for _ in 0..10_000 {
        run.keys.refetch("https://idp");
        sleep(Duration::from_millis(60)).await;
    }
    let hinted = run.fake.count() - 1;
    assert!((20..=21).contains(&hinted), "{hinted} fetches in 600 s, 20 cooldowns");
    assert_eq!(run.log.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_keys_are_published_costs_one_round() {
    let (fake, log) = (Fake::new(Provider::Up), Log::default());
    let (sender, receiver) = watch::channel(vec![wanted("https://idp")]);
    let (shutdown, record) = (CancellationToken::new(), log.clone());
    let panics = Mutex::new(VecDeque::from([true, true, false, true, false]));
    let publish = move |_: String, keys: Option<Arc<KeySet>>| {
        let panics = panics.lock().unwrap().pop_front();
        assert!(panics != Some(true), "a defect");
        record.lock().unwrap().push((keys.is_some(), Instant::now()));
    };
    let began = Instant::now();
    let keys = spawn_with(fake.clone(), FetchConfig::default(), receiver, publish, shutdown.clone());
    sleep(Duration::from_secs(1)).await;
    assert!(keys.status()[0].last_error.as_deref().is_some_and(|error| error.contains("internal")));
    sleep(Duration::from_secs(8)).await;
    let (published, at) = log.lock().unwrap()[0];
    assert!(published && at - began <= Duration::from_secs(8));
    assert_eq!((fake.count(), keys.status()[0].last_error.clone()), (3, None));
    // The fourth: withdrawing one issuer fails; another comes into use all the same.
    sender.send(vec![wanted("https://other")]).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(log.lock().unwrap().len(), 2);
    assert_eq!(keys.status().len(), 1);
    shutdown.cancel();
}
