//! A decision point that is away, paused, stopping or not ready closes every route, and opens none
//! that it would not have opened.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use faas_iam::compile::Bundle;
use faas_iam::decide::authorize::Settings;
use faas_iam::state::State;
use faas_iam::telemetry::{Metrics, Port};
use faas_iam::token::{SigningKeys, TokenCache};
use faas_iam::transport::ext_authz::ExtAuthz;
use faas_iam::transport::grpc;
use faas_iam::transport::listener::{Address, Listener};
use faas_iam::transport::overload::{self, FEW, Load as Under};
use faas_iam::transport::serve::{Server, serve};
use rustix::process::Signal;
use tokio::task::JoinHandle;

use crate::objects::grant;
use crate::stack::{PASSWORD, Setup, Stack, USER, eventually};
use crate::support::envoy::{self, Addresses, Envoy};
use crate::support::http;
use crate::support::openfaas::OpenFaas;
use crate::support::process::loopback;

const ALLOWED: &str = "/system/functions?namespace=dev";
const DENIED: &str = "/system/functions?namespace=other";

/// One answer, and when its request began and ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    allowed: bool,
    pub(crate) status: u16,
    began: Instant,
    pub(crate) ended: Instant,
}

impl Seen {
    /// Whether a request got through that nothing allows.
    pub(crate) const fn is_opened(&self) -> bool {
        !self.allowed && self.status < 400
    }
}

/// Clients that ask all the time.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Result<Vec<Seen>>>>,
}

impl Load {
    pub(crate) fn start(stack: &Stack, token: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicUsize::new(0));
        let client = || {
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
            client(stack.address(), format!("Bearer {token}"), stop, answers)
        };
        let tasks = (0..4).map(|_| tokio::spawn(client())).collect();
        Self { stop, answers, tasks }
    }

    /// Waits until each sort of request was made and answered a few times more.
    pub(crate) async fn go_on(&self) -> Result<()> {
        let enough = self.answers.load(Ordering::Relaxed) + 40;
        eventually("more answers", async || {
            let answers = self.answers.load(Ordering::Relaxed);
            Ok(if answers >= enough { Ok(()) } else { Err(format!("{answers} of {enough}")) })
        })
        .await
    }

    pub(crate) async fn stop(self) -> Result<Vec<Seen>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await??);
        }
        Ok(all)
    }
}

async fn client(
    address: SocketAddr,
    authorization: String,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for (target, allowed) in [(ALLOWED, true), (DENIED, false)] {
            let began = Instant::now();
            let headers = [("Authorization", authorization.as_str())];
            let status = http::request(address, "GET", target, &headers, b"").await?.status;
            seen.push(Seen { allowed, status, began, ended: Instant::now() });
            answers.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(seen)
}

/// Every answer is the right one, or 503.
pub(crate) fn check_answers(seen: &[Seen]) -> Result<()> {
    let wrong = |seen: &&Seen| seen.status != 503 && seen.status != if seen.allowed { 200 } else { 403 };
    let wrong: Vec<_> = seen.iter().filter(wrong).collect();
    ensure!(wrong.is_empty(), "wrong answers: {wrong:?}");
    Ok(())
}

pub(crate) async fn stack() -> Result<(Stack, String)> {
    let stack = Stack::start(Setup::new(grant("alice", "Function:List", "dev:*"))).await?;
    let token = stack.token("alice").await?;
    Ok((stack, token))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_closes_everything_until_it_is_back() -> Result<()> {
    let (mut stack, token) = stack().await?;
    let load = Load::start(&stack, &token);
    load.go_on().await?;
    stack.service.kill();
    let down = Instant::now();
    load.go_on().await?;
    let up = Instant::now();
    stack.service.restart().await?;
    stack.until_status(&token, ALLOWED, 200).await?;
    let back = Instant::now();
    load.go_on().await?;
    let seen = load.stop().await?;

    check_answers(&seen)?;
    let while_down: Vec<_> = seen.iter().filter(|seen| seen.began > down && seen.ended < up).collect();
    ensure!(while_down.iter().all(|seen| seen.status == 503), "{while_down:?}");
    ensure!(!while_down.is_empty(), "nobody asked while it was down");
    for allowed in [true, false] {
        let answered = |seen: &&Seen| seen.allowed == allowed && seen.status != 503;
        ensure!(seen.iter().filter(answered).any(|seen| seen.ended < down), "no answer before");
        ensure!(seen.iter().filter(answered).any(|seen| seen.began > back), "no answer after");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_service_says_so_first_and_answers_what_is_under_way() -> Result<()> {
    let (mut stack, token) = stack().await?;
    let load = Load::start(&stack, &token);
    load.go_on().await?;
    // A second is what there is to see it: a machine that is busy may miss it.
    let mut not_ready = None;
    for _ in 0..5 {
        not_ready = stop_service(&mut stack, &token).await?;
        stack.service.restart().await?;
        stack.until_status(&token, ALLOWED, 200).await?;
        if not_ready.is_some() {
            break;
        }
    }
    load.go_on().await?;
    check_answers(&load.stop().await?)?;
    ensure!(not_ready.is_some(), "it never said that it stops, or answered nothing while it did");
    Ok(())
}

/// Stops the service; when it said so, if that and an answer after it were seen.
async fn stop_service(stack: &mut Stack, token: &str) -> Result<Option<Instant>> {
    let readyz = format!("http://{}/readyz", stack.service.ports.admin);
    let client = http::client()?;
    stack.service.process.signal(Signal::TERM)?;
    let told = Instant::now();
    let mut not_ready = None;
    while not_ready.is_none() {
        match client.get(&readyz).send().await {
            Ok(answer) if answer.status() == 503 => not_ready = Some(Instant::now()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    // It still answers: whoever sends by readiness has time to see it.
    let answered = stack.get(token, ALLOWED).await? == 200;
    let limit = Duration::from_secs(12);
    let process = &mut stack.service.process;
    ensure!(tokio::task::block_in_place(|| process.wait(limit)), "still running after {limit:?}");
    let status = process.exited().context("running")?;
    ensure!(status.code() == Some(0), "ended with {status}: {}", process.output());
    ensure!(told.elapsed() > Duration::from_millis(900), "ended after {:?}", told.elapsed());
    Ok(not_ready.filter(|_| answered))
}

#[tokio::test]
async fn a_paused_service_closes_everything_until_it_goes_on() -> Result<()> {
    let (mut stack, token) = stack().await?;
    stack.service.process.signal(Signal::STOP)?;
    stack.until_status(&token, ALLOWED, 503).await?;
    stack.gateway.reset();
    let start = Instant::now();
    for target in [ALLOWED, DENIED, "/function/f"] {
        let answer = stack.send("GET", target, &[("Authorization", &format!("Bearer {token}"))], b"").await?;
        ensure!(answer.status == 503, "{target}: {}", answer.status);
        ensure!(answer.text() == "refused before a decision: ext_authz_error\n", "{}", answer.text());
    }
    ensure!(start.elapsed() > Duration::from_millis(1900), "took {:?}", start.elapsed());
    ensure!(stack.upstream()?.is_none(), "the gateway was reached");
    stack.service.process.signal(Signal::CONT)?;
    stack.until_status(&token, ALLOWED, 200).await?;
    ensure!(stack.get(&token, DENIED).await? == 403, "the denial is gone");
    Ok(())
}

async fn serve_checks(listener: Listener, checks: axum::Router) -> Result<()> {
    let metrics = Arc::new(Metrics::default());
    let server = Server { port: Port::Grpc, max_connections: 64, tls: None, metrics };
    let load = Under::new(FEW, Arc::default());
    let checks = checks.layer(axum::middleware::from_fn_with_state(load, overload::limit));
    serve(listener, checks, server, std::future::pending()).await
}

/// A decision point with a defect.
#[derive(Debug)]
struct Panics;

#[tonic::async_trait]
impl Authorization for Panics {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, tonic::Status> {
        tokio::task::yield_now().await;
        assert!(request.metadata().is_empty(), "a defect: no call is without metadata");
        Err(tonic::Status::internal("not reached"))
    }
}

#[tokio::test]
async fn a_panic_anywhere_in_a_check_closes_that_request_alone() -> Result<()> {
    let files = tempfile::tempdir()?;
    let gateway = OpenFaas::start(USER, PASSWORD, &[]).await?;
    let listener = Address::Tcp(loopback(0)).bind().await?;
    let Listener::Tcp(tcp) = &listener else { bail!("no TCP") };
    let decisions = tcp.local_addr()?;
    let (_, health) = tonic_health::server::health_reporter();
    let server = tokio::spawn(serve_checks(listener, grpc::router(Panics, health)?));
    // Open on failure: the answer has to be a denial, and not a failed call.
    let addresses = Addresses::in_front_of(gateway.address, decisions, decisions)?;
    let config = envoy::shipped(&addresses)?.replace("failure_mode_allow: false", "failure_mode_allow: true");
    let envoy = Envoy::start_with(&config, addresses, files.path()).await?;
    for target in ["/function/f", "/system/info", "/healthz"] {
        let answer = http::request(envoy.addresses.listener, "GET", target, &[], b"").await?;
        ensure!(answer.status == 503, "{target}: {}", answer.status);
        ensure!(answer.text().contains("the service failed; see its log"), "{}", answer.text());
    }
    ensure!(gateway.recorded().is_empty(), "the gateway was reached");
    server.abort();
    Ok(())
}

/// The decision point without objects, in front of which Envoy stands; then with them.
#[tokio::test]
async fn before_the_first_snapshot_everything_is_closed() -> Result<()> {
    let files = tempfile::tempdir()?;
    let gateway = OpenFaas::start(USER, PASSWORD, &[]).await?;
    let listener = Address::Tcp(loopback(0)).bind().await?;
    let Listener::Tcp(tcp) = &listener else { bail!("no TCP") };
    let decisions = tcp.local_addr()?;
    let signing = Arc::new(SigningKeys::ephemeral()?);
    let state = Arc::new(State::new("https://gateway.example.com".to_owned(), signing));
    let ext_authz = ExtAuthz {
        state: Arc::clone(&state),
        settings: Settings::default(),
        gateway: None,
        metrics: Arc::default(),
        tokens: Arc::new(TokenCache::new(0)),
        admin_basic_auth: false,
    };
    let (_, health) = tonic_health::server::health_reporter();
    let server = tokio::spawn(serve_checks(listener, grpc::router(ext_authz, health)?));
    let addresses = Addresses::in_front_of(gateway.address, decisions, decisions)?;
    let envoy = Envoy::start(addresses, files.path()).await?;

    for target in
        ["/function/f", "/system/info", "/healthz", "/nowhere", "/oauth/token", "/.well-known/jwks.json"]
    {
        let answer = http::request(envoy.addresses.listener, "POST", target, &[], b"").await?;
        ensure!(answer.status == 503, "{target}: {}", answer.status);
        ensure!(answer.header("x-faas-iam-decision").is_some(), "{target}: not asked about");
        ensure!(answer.header("retry-after") == Some("1"), "{target}: no Retry-After");
        ensure!(answer.text().contains("the policies are not loaded yet"), "{}", answer.text());
    }
    ensure!(gateway.recorded().is_empty(), "the gateway was reached");

    state.publish_objects(Bundle::default());
    let answer = http::request(envoy.addresses.listener, "GET", "/healthz", &[], b"").await?;
    ensure!(answer.status == 200, "with a snapshot: {}", answer.status);
    server.abort();
    Ok(())
}
