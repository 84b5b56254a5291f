//! No room: no file descriptor is free, more checks than are answered at once, no memory for bodies.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::floods::metric;
use crate::frames::{DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, check_headers, frame};
use crate::objects::grant;
use crate::resilience::{Load, check_answers, stack};
use crate::stack::{Setup, Stack, eventually};
use crate::support::http;

fn open_files(id: u32) -> Result<u64> {
    Ok(u64::try_from(fs::read_dir(format!("/proc/{id}/fd"))?.count())?)
}

fn limit_files(id: u32, files: u64) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(id)?);
    let limits = Rlimit { current: Some(files), maximum: Some(20_000) };
    prlimit(pid, Resource::Nofile, limits)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_file_descriptors_nothing_opens_and_it_recovers_by_itself() -> Result<()> {
    let (stack, token) = stack().await?;
    let ports = stack.service.ports;
    let id = stack.service.process.id();
    stack.write_objects("bob.yaml", &grant("bob", "Function:List", "other:*"))?;
    let load = Load::start(&stack, &token);
    load.go_on().await?;

    limit_files(id, open_files(id)? + 2)?;
    // Each keeps a descriptor by a request that it does not end.
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(ports.http).await?;
        stream.write_all(b"POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na").await?;
        held.push(stream);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    load.go_on().await?;
    // The policies cannot be read meanwhile: whatever comes of it is no allow that was not there.
    stack.write_objects("denied.yaml", &grant("carol", "Function:List", "dev:*"))?;
    load.go_on().await?;
    drop(held);

    let faults = "faas_iam_connection_faults_total{port=\"http\",cause=\"not-accepted\"}";
    let refused = eventually("the probes answer again", async || {
        Ok(metric(ports.admin, faults).await.map_err(|error| error.to_string()))
    })
    .await?;
    ensure!(refused > 0.0, "there was always room");
    limit_files(id, 20_000)?;
    stack.until_status(&token, "/system/functions?namespace=dev", 200).await?;
    let carol = stack.token("carol").await?;
    stack.until_status(&carol, "/system/functions?namespace=dev", 200).await?;
    load.go_on().await?;
    let seen = load.stop().await?;
    // An allow may be closed while the policies cannot be read; a denial is never opened.
    let opened: Vec<_> = seen.iter().filter(|seen| seen.is_opened()).collect();
    ensure!(opened.is_empty(), "{opened:?}");
    println!("full: {} checks, {refused} times no descriptor, none opened", seen.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_give_way_to_those_that_ask() -> Result<()> {
    let setup = Setup::with_flags(grant("alice", "Function:List", "dev:*"), &["--max-connections=8"]);
    let stack = Stack::start(setup).await?;
    let token = stack.token("alice").await?;
    let ports = stack.service.ports;
    let mut silent = Vec::new();
    for address in [ports.grpc, ports.http, ports.admin] {
        for _ in 0..40 {
            silent.push(TcpStream::connect(address).await?);
        }
    }
    // Envoy's connection, which is in use, and new ones.
    ensure!(stack.get(&token, "/system/functions?namespace=dev").await? == 200);
    ensure!(http::request(ports.http, "GET", "/.well-known/jwks.json", &[], b"").await?.status == 200);
    for port in ["grpc", "http", "admin"] {
        let fault =
            |cause: &str| format!("faas_iam_connection_faults_total{{port=\"{port}\",cause=\"{cause}\"}}");
        let open = format!("faas_iam_connections{{port=\"{port}\"}}");
        eventually(&format!("the silent ones on {port} are gone"), async || {
            let (evicted, full) =
                (metric(ports.admin, &fault("evicted")).await?, metric(ports.admin, &fault("full")).await?);
            let open = metric(ports.admin, &open).await?;
            let gone = evicted > 0.0 && evicted + full >= 32.0 && open <= 8.0;
            Ok(if gone { Ok(()) } else { Err(format!("{evicted} evicted, {full} refused, {open} open")) })
        })
        .await?;
    }
    // Connections that are in use do not: a new one is refused, until one of them ends.
    let mut used = Vec::new();
    let series = "faas_iam_connection_faults_total{port=\"http\",cause=\"full\"}";
    let before = metric(ports.admin, series).await?;
    eventually("a connection is refused", async || {
        let mut stream = TcpStream::connect(ports.http).await?;
        stream.write_all(b"POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na").await.ok();
        used.push(stream);
        let refused = http::request(ports.http, "GET", "/.well-known/jwks.json", &[], b"").await.is_err();
        let counted = metric(ports.admin, series).await? - before;
        Ok(if refused && counted > 0.0 { Ok(()) } else { Err(format!("{refused} {counted}")) })
    })
    .await?;
    drop(used);
    eventually("there is room again", async || {
        let answer = http::request(ports.http, "GET", "/.well-known/jwks.json", &[], b"").await;
        Ok(answer.map_err(|error| error.to_string()))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_check_more_than_allowed_is_503_at_once_and_not_queued() -> Result<()> {
    let setup = Setup::with_flags(grant("alice", "Function:List", "dev:*"), &["--max-checks=3"]);
    let stack = Stack::start(setup).await?;
    let token = stack.token("alice").await?;
    let target = "/system/functions?namespace=dev";
    ensure!(stack.get(&token, target).await? == 200);
    // Three checks whose messages never end.
    let mut client = TcpStream::connect(stack.service.ports.grpc).await?;
    let mut bytes = [PREFACE, SETTINGS].concat();
    for stream in [1, 3, 5] {
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &check_headers()));
        bytes.extend(frame(DATA, 0, stream, &[0, 0, 0, 9, 9, 1]));
    }
    client.write_all(&bytes).await?;
    // One that is asked about while they come would take the place of one of them.
    tokio::time::sleep(Duration::from_millis(500)).await;
    stack.until_status(&token, target, 503).await?;
    let authorization = format!("Bearer {token}");
    let start = std::time::Instant::now();
    let answer = stack.send("GET", target, &[("Authorization", &authorization)], b"").await?;
    let took = start.elapsed();
    ensure!(answer.status == 503 && answer.header("x-faas-iam-decision").is_some(), "{answer:?}");
    ensure!(answer.text().contains("more requests are under way"), "{}", answer.text());
    println!("overload: 503 after {took:?}");
    // They are given up, and there is room again, without help.
    stack.until_status(&token, target, 200).await?;
    drop(client);
    let seen = metric(stack.service.ports.admin, "faas_iam_decisions_total{reason=\"overloaded\"}").await?;
    ensure!(seen >= 4.0, "{seen} were counted");
    let load = Load::start(&stack, &token);
    load.go_on().await?;
    check_answers(&load.stop().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_beyond_the_memory_for_them_are_503_and_small_checks_go_on() -> Result<()> {
    let flags = ["--max-check-bytes=9437184"];
    let setup = Setup::with_flags(grant("alice", "Secret:Create", "dev:*"), &flags);
    let stack = Stack::start(setup).await?;
    let token = stack.token("alice").await?;
    let authorization = format!("Bearer {token}");
    let body = |size: usize| format!(r#"{{"name":"s","namespace":"dev","value":"{}"}}"#, "a".repeat(size));
    let send = async |size: usize| {
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        http::request(stack.address(), "POST", "/system/secrets", &headers, body(size).as_bytes()).await
    };
    let large = send(7 << 20).await?;
    ensure!(large.status < 300, "alone, there is room: {} {}", large.status, large.text());
    let held = hold_bodies(stack.service.ports.grpc).await?;
    eventually("a large body is refused", async || {
        let answer = send(7 << 20).await?;
        let refused = answer.status == 503 && answer.text().contains("hold all memory");
        Ok(if refused { Ok(()) } else { Err(answer.text()) })
    })
    .await?;
    // What is held is given up, and there is room again, without help.
    eventually("it is taken again", async || {
        let answer = send(7 << 20).await?;
        Ok(if answer.status < 300 { Ok(()) } else { Err(answer.text()) })
    })
    .await?;
    drop(held);
    Ok(())
}

/// Some 3.5 MiB in messages that never end, within what the service lets connections send unasked.
async fn hold_bodies(grpc: SocketAddr) -> Result<Vec<TcpStream>> {
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut client = TcpStream::connect(grpc).await?;
        client.write_all(&[PREFACE, SETTINGS].concat()).await?;
        held.push(client);
    }
    // The windows are larger as soon as the service has begun to speak.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for client in &mut held {
        for stream in (0..15).map(|i| 2 * i + 1) {
            client.write_all(&frame(HEADERS, END_HEADERS, stream, &check_headers())).await?;
            client.write_all(&frame(DATA, 0, stream, &[0, 0, 0x80, 0, 0])).await?;
            for _ in 0..4 {
                client.write_all(&frame(DATA, 0, stream, &[1; 15_000])).await?;
            }
        }
    }
    Ok(held)
}
