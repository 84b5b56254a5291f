//! A decision point that is away, paused, stopping or not ready closes every route, and opens none
//! that it would not have opened.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tokio::task::JoinHandle;

use crate::objects::{self, grant};
use crate::stack::{CLIENT_ID, Setup, Stack, eventually};
use crate::support::http;

const ALLOWED: &str = "/system/functions?namespace=dev";
const DENIED: &str = "/system/functions?namespace=other";

/// One answer, and when its request began and ended.
#[derive(Debug, Clone, Copy)]
struct Seen {
    allowed: bool,
    status: u16,
    began: Instant,
    ended: Instant,
}

/// Clients that ask all the time.
struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Result<Vec<Seen>>>>,
}

impl Load {
    fn start(stack: &Stack, token: &str) -> Self {
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
    async fn go_on(&self) -> Result<()> {
        let enough = self.answers.load(Ordering::Relaxed) + 40;
        eventually("more answers", async || {
            let answers = self.answers.load(Ordering::Relaxed);
            Ok(if answers >= enough { Ok(()) } else { Err(format!("{answers} of {enough}")) })
        })
        .await
    }

    async fn stop(self) -> Result<Vec<Seen>> {
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
fn check_answers(seen: &[Seen]) -> Result<()> {
    let wrong = |seen: &&Seen| seen.status != 503 && seen.status != if seen.allowed { 200 } else { 403 };
    let wrong: Vec<_> = seen.iter().filter(wrong).collect();
    ensure!(wrong.is_empty(), "wrong answers: {wrong:?}");
    Ok(())
}

async fn stack() -> Result<(Stack, String)> {
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

/// A stack whose one file of objects is a pipe: the first reading goes on for as long as nobody
/// writes into it.
async fn stack_that_reads(pipe: &Path) -> Result<Stack> {
    let made = Command::new("mkfifo").arg(pipe).status()?;
    ensure!(made.success(), "no pipe: {made}");
    let directory = pipe.parent().context("no directory")?;
    let policy_flag = Some(format!("--policy-dir={}", directory.display()));
    let stack = Stack::spawn(Setup { policy_flag, ..Setup::new("") }).await?;
    let readyz = format!("http://{}/readyz", stack.service.ports.admin);
    let client = http::client()?;
    eventually("it listens", async || match client.get(&readyz).send().await {
        Ok(answer) => {
            ensure!(answer.status() == 503, "ready without objects");
            Ok(Ok(()))
        }
        Err(error) => Ok(Err(error.to_string())),
    })
    .await?;
    Ok(stack)
}

#[tokio::test]
async fn before_the_first_snapshot_everything_is_closed() -> Result<()> {
    let files = tempfile::tempdir()?;
    let pipe = files.path().join("later.yaml");
    let mut stack = stack_that_reads(&pipe).await?;
    for target in
        ["/function/f", "/system/info", "/healthz", "/nowhere", "/oauth/token", "/.well-known/jwks.json"]
    {
        let answer = stack.send("POST", target, &[], b"").await?;
        ensure!(answer.status == 503, "{target}: {}", answer.status);
        ensure!(answer.header("x-faas-iam-decision").is_some(), "{target}: not asked about");
        ensure!(answer.header("retry-after") == Some("1"), "{target}: no Retry-After");
        ensure!(answer.text().contains("the policies are not loaded yet"), "{}", answer.text());
    }
    ensure!(stack.upstream()?.is_none(), "the gateway was reached");

    let objects =
        grant("alice", "Function:List", "dev:*") + &objects::issuer(&stack.provider.issuer, CLIENT_ID);
    let (writing, text) = (pipe.clone(), objects.clone());
    tokio::task::spawn_blocking(move || std::fs::write(writing, text)).await??;
    // An ordinary file from now on.
    objects::write_whole(&pipe, &objects)?;
    stack.service.wait_until_ready().await?;
    let token = stack.token("alice").await?;
    stack.until_status(&token, ALLOWED, 200).await
}

/// A file system that hangs is no reason to hang.
#[tokio::test]
async fn a_reading_that_does_not_end_does_not_keep_the_service_from_stopping() -> Result<()> {
    let files = tempfile::tempdir()?;
    let mut stack = stack_that_reads(&files.path().join("never.yaml")).await?;
    let process = &mut stack.service.process;
    process.signal(Signal::TERM)?;
    ensure!(process.wait(Duration::from_secs(12)), "still running");
    let status = process.exited().context("running")?;
    ensure!(status.code() == Some(0), "ended with {status}: {}", process.output());
    Ok(())
}
