//! Our own signing keys change while requests go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::load::{FIRST_KEY, SECOND_KEY, Service, WORKERS};
use crate::objects::{SigningKey, write_whole};
use crate::stack::{CLIENT_ID, eventually};
use crate::support::identity_provider::IdentityProvider;

/// What all workers see and count.
#[derive(Default)]
struct Load {
    requests: AtomicUsize,
    failed: AtomicUsize,
    /// Set before the old key is withdrawn.
    withdrawing: AtomicBool,
    done: AtomicBool,
}

// === impl Load ===

impl Load {
    fn count(&self, passed: bool) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.failed.fetch_add(usize::from(!passed), Ordering::SeqCst);
    }

    /// Exchanges a token and uses it, and uses one from before, over and over.
    async fn work(&self, service: &Service, id_token: &str, old: &str) -> Result<()> {
        while !self.done.load(Ordering::SeqCst) {
            let ours = service.exchange(id_token).await?;
            self.count(ours.is_some());
            if let Some(ours) = ours {
                self.count(service.allows(&ours).await?);
            }
            let allowed = service.allows(old).await?;
            self.count(allowed || self.withdrawing.load(Ordering::SeqCst));
        }
        Ok(())
    }
}

/// A new key is published, signs, and the old one is withdrawn.
pub(super) async fn our_keys_rotate() -> Result<String> {
    let provider = IdentityProvider::start().await?;
    let service = Service::start(&[&provider]).await?;
    service.until_known(&provider).await?;
    let id_token = provider.id_token("alice", CLIENT_ID, &json!({}))?;
    let old = service.exchange(&id_token).await?.context("no token")?;
    let (load, start) = (Load::default(), Instant::now());
    let rotate = async {
        let rotated = rotate(&service, &old, &load).await;
        load.done.store(true, Ordering::SeqCst);
        rotated
    };
    let workers = (0..WORKERS).map(|_| load.work(&service, &id_token, &old));
    tokio::try_join!(rotate, futures_util::future::try_join_all(workers))?;
    let (requests, failed) = (load.requests.into_inner(), load.failed.into_inner());
    ensure!(failed == 0, "{failed} of {requests} requests failed");
    let seconds = start.elapsed().as_secs_f64();
    Ok(format!("our own key replaced under load, in {seconds:.1} s: requests: {requests}, failed: {failed}"))
}

async fn rotate(service: &Service, old: &str, load: &Load) -> Result<()> {
    let (old_pem, new_pem) = (std::fs::read_to_string(service.file(FIRST_KEY))?, SigningKey::generate()?.pem);
    let before = service.kids().await?;
    let until = async |what: &str, reached: &dyn Fn(&[String]) -> bool| {
        eventually(what, async || {
            let kids = service.kids().await?;
            Ok(if reached(&kids) { Ok(kids) } else { Err(format!("{kids:?}")) })
        })
        .await
    };
    write_whole(&service.file(SECOND_KEY), &new_pem)?;
    let mut kids = until("the new key is published", &|kids| kids.len() == 2 && kids != before).await?;
    write_whole(&service.file(SECOND_KEY), &old_pem)?;
    write_whole(&service.file(FIRST_KEY), &new_pem)?;
    kids.reverse();
    until("the new key signs", &|now| now == kids).await?;
    ensure!(service.allows(old).await?, "an old token is refused while its key is published");
    load.withdrawing.store(true, Ordering::SeqCst);
    write_whole(&service.file(SECOND_KEY), &new_pem)?;
    until("the old key is withdrawn", &|now| now == kids.get(..1).unwrap_or_default()).await?;
    ensure!(!service.allows(old).await?, "an old token is accepted though its key is withdrawn");
    Ok(())
}
