//! Our own signing keys change while requests go on.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::token::signer::new_pem;

const WORKERS: usize = 4;

/// What all workers see.
#[derive(Default)]
struct Progress {
    rounds: [AtomicUsize; WORKERS],
    failures: AtomicUsize,
    /// Set before the old key is withdrawn.
    withdrawing: AtomicBool,
    done: AtomicBool,
}

impl Progress {
    /// Until every worker has begun and ended some rounds.
    async fn some_rounds(&self) {
        let goals: Vec<_> = self.rounds.iter().map(|rounds| rounds.load(Ordering::SeqCst) + 10).collect();
        while self.rounds.iter().zip(&goals).any(|(rounds, goal)| rounds.load(Ordering::SeqCst) < *goal) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Exchanges a token and uses it, and uses one from before, over and over.
async fn work(bed: Arc<Bed>, progress: Arc<Progress>, worker: usize, foreign: String, old: String) {
    let fail = |failed: bool| progress.failures.fetch_add(usize::from(failed), Ordering::SeqCst);
    while !progress.done.load(Ordering::SeqCst) {
        match bed.exchange(&foreign) {
            Ok(token) => fail(bed.check(&token).await != 0),
            Err(_) => fail(true),
        };
        let refused = bed.check(&old).await != 0;
        fail(refused && !progress.withdrawing.load(Ordering::SeqCst));
        progress.rounds[worker].fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn our_keys_rotate_under_load_without_a_failed_request() {
    let (a, b) = (new_pem(), new_pem());
    let load = |pems: &[&String]| {
        let files: Vec<_> = pems.iter().map(|pem| ("key", pem.as_bytes())).collect();
        SigningKeys::load(&files).unwrap()
    };
    let key = TestKey::es256("k");
    let stub = Stub::start(Answer::Keys(jwks([key.jwk()]))).await;
    let bed = bed(&jwt_issuer("idp", &stub.url, "faas"), FetchConfig::default(), load(&[&a]));
    bed.until_keys_of(1).await;
    let foreign = key.token(&claims(&stub.url, "faas"));
    let old = bed.exchange(&foreign).unwrap();

    let (progress, mut workers) = (Arc::new(Progress::default()), JoinSet::new());
    for worker in 0..WORKERS {
        let (bed, progress) = (Arc::clone(&bed), Arc::clone(&progress));
        workers.spawn(work(bed, progress, worker, foreign.clone(), old.clone()));
    }
    progress.some_rounds().await;
    // The new key is published, then it signs; back and forth, as an operator may.
    for keys in [[&a, &b], [&b, &a], [&a, &b], [&b, &a]] {
        bed.state.publish_signing(Arc::new(load(&keys)));
        progress.some_rounds().await;
    }
    progress.withdrawing.store(true, Ordering::SeqCst);
    bed.state.publish_signing(Arc::new(load(&[&b])));
    assert_ne!(bed.check(&old).await, 0, "the old key is withdrawn, and with it what it signed");
    progress.some_rounds().await;
    progress.done.store(true, Ordering::SeqCst);
    workers.join_all().await;
    assert_eq!(progress.failures.load(Ordering::SeqCst), 0);
    let figures = bed.ext_authz.tokens.figures();
    assert!(figures.hits > figures.misses / 4, "{figures:?}");
}
