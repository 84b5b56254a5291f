//! Floods on every address of the service: its memory stays bounded, and those who use it as it is
//! meant to be used get their answers meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write as _, stderr};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, check_headers, frame,
    literal,
};
use crate::resilience::{Load, Seen, check_answers, stack};
use crate::stack::Stack;
use crate::support::http;

/// How much more memory all of them may take: what has no bound takes gigabytes in their time.
const BOUND: u64 = 384 << 20;
/// How long one goes on.
const LASTS: Duration = Duration::from_secs(2);

/// A way to trouble a server.
#[derive(Debug, Clone, Copy)]
enum Flood {
    /// Connections that say nothing.
    HalfOpen,
    /// Connections that begin a request and never end it.
    SlowHeaders,
    /// Streams that are reset as soon as they are open.
    RapidReset,
    /// PING and SETTINGS frames, whose answers are never read.
    Pings,
    /// Header blocks without an end.
    Headers,
    /// Messages that claim a gibibyte, and bodies without an end.
    Bodies,
    /// Many bodies, each half sent.
    SlowBodies,
    /// Requests whose answers are never read.
    NeverReads,
}

impl Flood {
    const ALL: [Self; 8] = [
        Self::HalfOpen,
        Self::SlowHeaders,
        Self::RapidReset,
        Self::Pings,
        Self::Headers,
        Self::Bodies,
        Self::SlowBodies,
        Self::NeverReads,
    ];

    /// Connections at once.
    const fn width(self) -> usize {
        match self {
            Self::HalfOpen => 10_000,
            Self::SlowHeaders => 2000,
            Self::SlowBodies => 200,
            Self::RapidReset | Self::Pings | Self::Headers | Self::Bodies | Self::NeverReads => 16,
        }
    }

    /// What a connection begins with, and what it goes on with until it is closed.
    fn bytes(self, is_http2: bool) -> (Vec<u8>, Vec<u8>) {
        let hello = [PREFACE, SETTINGS].concat();
        let head =
            b"POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        let with = |more: &[u8]| [&head[..], more].concat();
        match (self, is_http2) {
            (Self::HalfOpen, _) => (Vec::new(), Vec::new()),
            (Self::SlowHeaders, true) => (b"PRI * HTTP/2.0".to_vec(), Vec::new()),
            (Self::SlowHeaders, false) => (head.to_vec(), Vec::new()),
            (Self::RapidReset, true) => (hello, resets()),
            (Self::Pings, true) => {
                (hello, [frame(PING, 0, 0, &[7; 8]), SETTINGS.to_vec()].concat().repeat(500))
            }
            (Self::Headers, true) => {
                let first = frame(HEADERS, 0, 1, &check_headers());
                let mut block = Vec::new();
                (0..120).for_each(|_| literal(&mut block, b"x-flood", &[b'a'; 120]));
                ([hello, first].concat(), frame(CONTINUATION, 0, 1, &block))
            }
            (Self::Bodies, true) => {
                ([hello, opening(1, 1 << 30)].concat(), frame(DATA, 0, 1, &[b'a'; 16000]))
            }
            (Self::SlowBodies, true) => {
                let streams =
                    (0..100).flat_map(|i| [opening(2 * i + 1, 4096), frame(DATA, 0, 2 * i + 1, &[1; 600])]);
                ([hello, streams.flatten().collect()].concat(), Vec::new())
            }
            (Self::NeverReads, true) => (hello, checks()),
            // Over HTTP/1.1, what comes nearest.
            (Self::Headers, false) => {
                (head.to_vec(), b"x-flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(200))
            }
            (Self::Bodies | Self::RapidReset, false) => (
                with(b"Transfer-Encoding: chunked\r\n\r\n"),
                [b"3e80\r\n", &[b'a'; 16000][..], b"\r\n"].concat(),
            ),
            (Self::SlowBodies, false) => {
                (with(b"Content-Length: 60000\r\n\r\nsubject_token=aaaaaaaa"), Vec::new())
            }
            (Self::NeverReads | Self::Pings, false) => {
                let target = if matches!(self, Self::Pings) { "/.well-known/jwks.json" } else { "/metrics" };
                (Vec::new(), format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(100).into_bytes())
            }
        }
    }
}

/// Streams from 1 on; a second time they are an error of the protocol, which ends the connection.
fn resets() -> Vec<u8> {
    let of = |i: u32| {
        let stream = 2 * i + 1;
        [frame(HEADERS, END_HEADERS, stream, &check_headers()), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]
    };
    (0..20_000).flat_map(of).flatten().collect()
}

/// Checks that are whole, and empty.
fn checks() -> Vec<u8> {
    let of = |i: u32| {
        let stream = 2 * i + 1;
        [frame(HEADERS, END_HEADERS, stream, &check_headers()), frame(DATA, 1, stream, &[0; 5])]
    };
    (0..20_000).flat_map(of).flatten().collect()
}

/// A check whose message claims this many bytes.
fn opening(stream: u32, length: u32) -> Vec<u8> {
    let prefix = [&[0][..], &length.to_be_bytes()].concat();
    [frame(HEADERS, END_HEADERS, stream, &check_headers()), frame(DATA, 0, stream, &prefix)].concat()
}

/// One connection after the other, until the time is over.
async fn attack(address: SocketAddr, flood: Flood, is_http2: bool, until: Instant) {
    let (first, then) = flood.bytes(is_http2);
    let reads = matches!(flood, Flood::RapidReset | Flood::Headers | Flood::Bodies);
    while Instant::now() < until {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (mut from, mut to) = stream.split();
        let send = async {
            to.write_all(&first).await?;
            while !then.is_empty() {
                to.write_all(&then).await?;
            }
            std::future::pending::<std::io::Result<()>>().await
        };
        let receive = async {
            let mut sink = [0; 4096];
            if !reads && !then.is_empty() {
                std::future::pending::<()>().await;
            }
            while from.read(&mut sink).await.is_ok_and(|read| read > 0) {}
        };
        let end = tokio::time::sleep_until(until.into());
        tokio::select! {
            _ = send => {}
            () = receive => {}
            () = end => {}
        }
    }
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// The value of a series of the service.
pub(crate) async fn metric(admin: SocketAddr, series: &str) -> Result<f64> {
    let text = http::request(admin, "GET", "/metrics", &[], b"").await?.text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no {series}"))?.parse()?)
}

/// The highest resident memory while a flood goes on against one address.
async fn flood(stack: &Stack, flood: Flood, address: SocketAddr, is_http2: bool) -> Result<u64> {
    let id = stack.service.process.id();
    let until = Instant::now() + LASTS;
    let mut attackers = JoinSet::new();
    for _ in 0..flood.width() {
        attackers.spawn(attack(address, flood, is_http2, until));
    }
    let mut peak = 0;
    while Instant::now() < until {
        peak = peak.max(resident(id)?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    attackers.shutdown().await;
    Ok(peak)
}

/// In how many tenths of a second there were refusals alone, and how many there were in all. Their number
/// says less: a refusal is quick, and so is the next try.
fn slices_without_an_answer(seen: &[Seen]) -> (usize, usize) {
    let Some(start) = seen.iter().map(|seen| seen.ended).min() else { return (0, 0) };
    let mut slices: BTreeMap<u128, bool> = BTreeMap::new();
    for seen in seen {
        *slices.entry((seen.ended - start).as_millis() / 100).or_default() |= seen.status != 503;
    }
    (slices.values().filter(|answered| !**answered).count(), slices.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_move_neither_the_memory_nor_the_answers() -> Result<()> {
    let (stack, token) = stack().await?;
    let ports = stack.service.ports;
    let load = Load::start(&stack, &token);
    load.go_on().await?;
    let before = resident(stack.service.process.id())?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut table = format!("floods: {:.0} MiB resident before\n", mib(before));
    for kind in Flood::ALL {
        for (name, address, is_http2) in
            [("grpc", ports.grpc, true), ("http", ports.http, false), ("admin", ports.admin, false)]
        {
            let peak = flood(&stack, kind, address, is_http2).await?;
            // The token service and the probes answer as soon as the flood is over, if not before.
            let probe = http::request(ports.admin, "GET", "/livez", &[], b"").await?;
            let keys = http::request(ports.http, "GET", "/.well-known/jwks.json", &[], b"").await?;
            ensure!((probe.status, keys.status) == (200, 200), "{kind:?} on {name}: {probe:?} {keys:?}");
            let growth = peak.saturating_sub(before);
            ensure!(growth < BOUND, "{kind:?} on {name}: {:.0} MiB more", mib(growth));
            table += &format!("  {:<12} {name:<6} peak {:>4.0} MiB\n", format!("{kind:?}"), mib(peak));
        }
    }
    load.go_on().await?;
    let seen = load.stop().await?;
    check_answers(&seen)?;
    let unavailable = seen.iter().filter(|seen| seen.status == 503).count();
    let (without, slices) = slices_without_an_answer(&seen);
    let after = resident(stack.service.process.id())?;
    let evicted =
        metric(ports.admin, "faas_iam_connection_faults_total{port=\"grpc\",cause=\"evicted\"}").await?;
    table += &format!(
        "  after {:.0} MiB; {} checks meanwhile: {unavailable} unavailable, none wrong; \
         nothing but that in {without} of {slices} tenths of a second; {evicted} connections evicted\n",
        mib(after),
        seen.len(),
    );
    stderr().write_all(table.as_bytes())?;
    // One flood in 24, of bodies that come slowly, may take all places for as long as it lasts.
    ensure!(without * 10 <= slices, "in {without} of {slices} tenths of a second nobody was answered");
    Ok(())
}
