//! Sends many requests at once.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};

use super::http1;
use super::http2;
use super::requests::{Shot, Shots, Tokens, Wire};
use super::stage::Rig;

/// Senders, each with a connection of either protocol to each of the services.
const SENDERS: usize = 16;

/// The named requests, and then those of the generator, up to a number.
#[derive(Debug)]
pub(super) struct Source {
    named: std::vec::IntoIter<Shot>,
    generated: Shots,
    left: usize,
}

/// A service, as a sender sees it.
#[derive(Debug)]
struct Line {
    address: SocketAddr,
    tokens: Vec<Tokens>,
    http1: Option<http1::Connection>,
    http2: Option<http2::Connection>,
}

// === impl Source ===

impl Source {
    pub(super) fn new(named: Vec<Shot>, generated: Shots, total: usize) -> Self {
        Self { named: named.into_iter(), generated, left: total }
    }

    pub(super) fn shot(&mut self) -> Option<Shot> {
        self.left = self.left.checked_sub(1)?;
        Some(self.named.next().unwrap_or_else(|| self.generated.shot()))
    }
}

/// Sends everything. The status of each answer: 0 where none came, 1 where it is in Envoy's log alone.
pub(super) async fn all(rig: &Rig, source: Source) -> Result<Vec<u16>> {
    let statuses = Arc::new(Mutex::new(vec![0; source.left]));
    let source = Arc::new(Mutex::new(source));
    let mut senders = tokio::task::JoinSet::<Result<()>>::new();
    for _ in 0..SENDERS {
        let mut lines: Vec<Line> = rig.fronts.iter().map(Line::new).collect();
        let (source, statuses) = (Arc::clone(&source), Arc::clone(&statuses));
        senders.spawn(async move {
            loop {
                let shot = source.lock().unwrap_or_else(PoisonError::into_inner).shot();
                let Some(shot) = shot else { return Ok(()) };
                let status = lines.get_mut(shot.profile).context("no such profile")?.send(&shot).await?;
                let mut statuses = statuses.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(place) = statuses.get_mut(shot.number) {
                    *place = status;
                }
            }
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let statuses = statuses.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(statuses.clone())
}

// === impl Line ===

impl Line {
    fn new(front: &super::stage::Front) -> Self {
        let (address, tokens) = (front.envoy.addresses.listener, front.tokens.clone());
        Self { address, tokens, http1: None, http2: None }
    }

    /// An error only where no connection can be made.
    async fn send(&mut self, shot: &Shot) -> Result<u16> {
        let place = super::identities::SUBJECTS.iter().position(|subject| *subject == shot.subject);
        let tokens = place.and_then(|place| self.tokens.get(place)).cloned().unwrap_or_default();
        match shot.wire {
            Wire::Http1 | Wire::Chunked => self.send_1(shot, &shot.bytes(&tokens)).await,
            Wire::Broken1(_) => {
                let connection = http1::Connection::open(self.address).await?;
                Ok(connection.send_anything(&shot.bytes(&tokens)).await.unwrap_or(0))
            }
            Wire::Http2 | Wire::Broken2(_) => self.send_2(shot, &tokens).await,
        }
    }

    async fn send_1(&mut self, shot: &Shot, bytes: &[u8]) -> Result<u16> {
        let mut connection = match self.http1.take() {
            Some(connection) => connection,
            None => http1::Connection::open(self.address).await?,
        };
        let sent = connection.send(bytes, shot.sent.method == "HEAD").await;
        let Ok((status, kept)) = sent else { return Ok(0) };
        self.http1 = kept.then_some(connection);
        Ok(status)
    }

    async fn send_2(&mut self, shot: &Shot, tokens: &Tokens) -> Result<u16> {
        let mut connection = match self.http2.take().filter(http2::Connection::is_fresh) {
            Some(connection) => connection,
            None => http2::Connection::open(self.address).await?,
        };
        let (headers, trailers) = shot.list(tokens);
        if connection.send(&headers, &shot.sent.body, &trailers).await.is_err() {
            return Ok(0);
        }
        self.http2 = Some(connection);
        Ok(1)
    }
}
