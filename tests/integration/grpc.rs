//! The gRPC services, without Envoy: over TCP and a Unix socket, with sound and broken requests.

use std::io::{Write as _, stderr};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use axum::extract::ConnectInfo;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use faas_iam::compile::Bundle;
use faas_iam::source::issuer_keys::{self, FetchConfig};
use faas_iam::state::State;
use faas_iam::token::{SigningKeys, TokenCache};
use faas_iam::transport::admin::Admin;
use faas_iam::transport::admin::pb::GetSnapshotInfoRequest;
use faas_iam::transport::admin::pb::snapshot_service_server::SnapshotService as _;
use prost::Message as _;
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::grpc_client::{check_of, connect, reflect, services, snapshot_info};
use crate::objects::grant;
use crate::stack::{PATIENCE, Setup, Stack, binary};
use crate::support::patience::eventually;
use crate::support::process::{Process, free_port, loopback, wait_for_ok};

const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";
const SNAPSHOTS: &str = "faas_iam.v1.SnapshotService";
const MIB: usize = 1024 * 1024;

/// `faas-iam` alone, with no objects.
struct Alone {
    process: Process,
    admin: SocketAddr,
    files: tempfile::TempDir,
}

impl Alone {
    /// Starts it; `{dir}` in the address is the folder of this run.
    async fn start(grpc: &str) -> Result<(Self, Channel)> {
        let files = tempfile::tempdir()?;
        let dir = files.path();
        std::fs::create_dir(dir.join("policies"))?;
        let (http, admin) = (loopback(free_port()?), loopback(free_port()?));
        let grpc = grpc.replace("{dir}", &dir.display().to_string());
        let mut command = Command::new(binary());
        command.args(["serve", "--issuer=https://gw.example.com"]);
        command.arg(format!("--policy-dir={}", dir.join("policies").display()));
        command.arg(format!("--grpc-listen={grpc}"));
        command.args([format!("--http-listen={http}"), format!("--admin-listen={admin}")]);
        let mut process = Process::start("faas-iam", command, dir)?;
        wait_for_ok(&mut process, &format!("http://{admin}/readyz"), PATIENCE).await?;
        let address = if grpc.starts_with("unix:") { grpc } else { format!("http://{grpc}") };
        let channel = connect(&address).await?;
        Ok((Self { process, admin, files }, channel))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.process.kill();
    }
}

async fn check(channel: &Channel, request: CheckRequest) -> Result<CheckResponse> {
    let mut client = AuthorizationClient::new(channel.clone()).max_encoding_message_size(16 * MIB);
    Ok(client.check(request).await?.into_inner())
}

fn http(method: &str, path: &str) -> HttpRequest {
    HttpRequest { method: method.to_owned(), path: path.to_owned(), ..HttpRequest::default() }
}

fn code(response: &CheckResponse) -> Option<i32> {
    response.status.as_ref().map(|status| status.code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn health_reflection_and_checks_work_over_tcp_and_over_a_unix_socket() -> Result<()> {
    for grpc in [loopback(free_port()?).to_string(), "unix:{dir}/grpc.sock".to_owned()] {
        let (mut alone, channel) = Alone::start(&grpc).await?;
        for service in ["", AUTHORIZATION] {
            let asked = HealthCheckRequest { service: service.to_owned() };
            let health = HealthClient::new(channel.clone()).check(asked).await?.into_inner();
            assert_eq!(health.status(), ServingStatus::Serving, "{grpc} {service}");
        }
        let listed = services(channel.clone()).await?;
        for service in [AUTHORIZATION, "grpc.health.v1.Health"] {
            assert!(listed.iter().any(|name| name == service), "{grpc}: {listed:?}");
        }
        assert!(!listed.iter().any(|name| name == SNAPSHOTS), "{listed:?}");
        let symbol = MessageRequest::FileContainingSymbol(format!("{AUTHORIZATION}.Check"));
        let MessageResponse::FileDescriptorResponse(files) = reflect(channel.clone(), symbol).await? else {
            bail!("Check is not described");
        };
        let file = files.file_descriptor_proto.first().context("no file")?;
        let file = prost_types::FileDescriptorProto::decode(file.as_slice())?;
        let methods = file.service.iter().flat_map(|service| &service.method);
        assert!(methods.into_iter().any(|method| method.name() == "Check"), "{file:?}");

        let response = check(&channel, check_of(http("GET", "/healthz"))).await?;
        assert_eq!(code(&response), Some(0), "{response:?}");
        let response = check(&channel, check_of(http("GET", "/system/info"))).await?;
        assert_eq!(code(&response), Some(Code::Unauthenticated.into()), "{response:?}");

        drop(channel);
        tokio::task::block_in_place(|| alone.process.stop());
        assert_eq!(alone.process.exited().and_then(|status| status.code()), Some(0));
        if let Some(path) = grpc.strip_prefix("unix:") {
            let path = path.replace("{dir}", &alone.files.path().display().to_string());
            assert!(!std::path::Path::new(&path).exists(), "the socket is left behind");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stopping_service_is_not_serving_whatever_is_edited_meanwhile() -> Result<()> {
    let (mut alone, channel) = Alone::start(&loopback(free_port()?).to_string()).await?;
    let mut client = HealthClient::new(channel);
    let mut status = async || {
        let asked = HealthCheckRequest { service: AUTHORIZATION.to_owned() };
        client.check(asked).await.map(|answer| answer.into_inner().status())
    };
    alone.process.signal(Signal::TERM)?;
    // Both ends of the loops are right: the service is gone after a second.
    while matches!(status().await, Ok(ServingStatus::Serving)) {}
    std::fs::write(alone.files.path().join("policies/new.yaml"), grant("alice", "*", "*"))?;
    while let Ok(seen) = status().await {
        assert_eq!(seen, ServingStatus::NotServing);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn every_fault_is_a_denial_in_the_response_and_no_failure_of_the_call() -> Result<()> {
    let (_alone, channel) = Alone::start(&loopback(free_port()?).to_string()).await?;
    let attributes = |request| AttributeContext { request, ..AttributeContext::default() };
    let with = |attributes| CheckRequest { attributes };
    let header = |name: &str, value: String| HttpRequest {
        headers: [(name.to_owned(), value)].into(),
        ..http("GET", "/system/info")
    };
    let body = |bytes: Vec<u8>| HttpRequest { raw_body: bytes, ..http("POST", "/system/functions") };
    let deep = |open: &str| format!(r#"{{"service":{}"#, open.repeat(MIB / 2)).into_bytes();
    let partial = HttpRequest {
        headers: [("x-envoy-auth-partial-body".to_owned(), "true".to_owned())].into(),
        ..body(b"{}".to_vec())
    };
    let cases = [
        ("an empty check", with(None), 503),
        ("no request", with(Some(attributes(None))), 503),
        ("no HTTP request", with(Some(attributes(Some(Request::default())))), 503),
        ("an empty request", check_of(HttpRequest::default()), 400),
        ("no method", check_of(http("", "/system/info")), 405),
        ("no path", check_of(http("GET", "")), 400),
        ("an asterisk", check_of(http("OPTIONS", "*")), 400),
        ("an absolute target", check_of(http("GET", "http://x/system/info")), 400),
        ("two slashes", check_of(http("GET", "//system/info")), 400),
        ("a control byte", check_of(http("GET", "/function/f\r\nx: y")), 400),
        ("a NUL", check_of(http("GET\0", "/system/info\0")), 400),
        ("a long path", check_of(http("GET", &format!("/{}", "a/".repeat(MIB)))), 404),
        ("many parameters", check_of(http("GET", &format!("/system/info?{}", "a&".repeat(50_000)))), 400),
        ("a long token", check_of(header("authorization", format!("Bearer {}", "a.".repeat(MIB)))), 401),
        ("no text", check_of(header("authorization", "Bearer \u{1f600}\u{0}".to_owned())), 401),
        ("a body that is no text", check_of(body(vec![0xff; 8 * MIB])), 400),
        ("deep lists", check_of(body(deep("["))), 400),
        ("deep objects", check_of(body(deep(r#"{"a":"#))), 400),
        ("a body that was cut off", check_of(partial), 413),
    ];
    for (case, request, expected) in cases {
        let response = check(&channel, request).await.context(case)?;
        let (code, http) = (code(&response), response.http_response);
        assert!(code.is_some_and(|code| code != 0), "{case}: {code:?}");
        let Some(HttpResponse::DeniedResponse(denied)) = http else { bail!("{case}: {http:?}") };
        let status = denied.status.context(case)?.code;
        assert_eq!(status, expected, "{case}: {}", denied.body);
        assert_eq!(denied.body.lines().count(), 1, "{case}: {:?}", denied.body);
    }
    // What is larger than any body that Envoy buffers is not read at all.
    let refused = AuthorizationClient::new(channel.clone())
        .max_encoding_message_size(32 * MIB)
        .check(check_of(body(vec![b' '; 10 * MIB])))
        .await?
        .into_inner();
    let Some(HttpResponse::DeniedResponse(denied)) = refused.http_response else { bail!("no denial") };
    assert_eq!(denied.status.context("no status")?.code, 413, "{}", denied.body);
    assert_eq!(code(&check(&channel, check_of(http("GET", "/healthz"))).await?), Some(0));
    Ok(())
}

/// Health and reflection have places of their own, and lasting ones count until they end.
#[tokio::test]
async fn calls_that_last_take_no_place_of_checks() -> Result<()> {
    let (_alone, channel) = Alone::start(&loopback(free_port()?).to_string()).await?;
    let watch = async || {
        let asked = HealthCheckRequest { service: String::new() };
        HealthClient::new(channel.clone()).watch(asked).await
    };
    let mut watches = Vec::new();
    for _ in 0..64 {
        watches.push(watch().await?);
    }
    assert!(watch().await.is_err_and(|status| status.code() == Code::Unavailable));
    assert_eq!(code(&check(&channel, check_of(http("GET", "/healthz"))).await?), Some(0));
    drop(watches);
    eventually("there is room for another", async || {
        Ok(watch().await.map(drop).map_err(|status| status.message().to_owned()))
    })
    .await
}

/// Without `TCP_NODELAY` most answers wait some 40 ms for an acknowledgement.
#[tokio::test]
async fn an_answer_does_not_wait_for_the_network() -> Result<()> {
    let (_alone, channel) = Alone::start(&loopback(free_port()?).to_string()).await?;
    let mut times = Vec::new();
    for _ in 0..80 {
        let start = Instant::now();
        check(&channel, check_of(http("GET", "/system/info"))).await?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let quarter = times.get(20).copied().unwrap_or_default();
    assert!(quarter < Duration::from_millis(35), "three in four take more than {quarter:?}");
    Ok(())
}

#[tokio::test]
async fn the_admin_address_tells_a_peer_of_the_same_host_what_is_in_force() -> Result<()> {
    let (alone, _) = Alone::start(&loopback(free_port()?).to_string()).await?;
    let channel = connect(&format!("http://{}", alone.admin)).await?;
    let info = snapshot_info(channel.clone(), None).await??;
    assert_eq!(info.revision.len(), 16, "{info:?}");
    assert!(info.age.is_some() && info.objects.is_some() && info.diagnostics.is_empty(), "{info:?}");
    let listed = services(channel.clone()).await?;
    assert!(listed.iter().any(|name| name == SNAPSHOTS), "{listed:?}");
    let symbol = MessageRequest::FileContainingSymbol(format!("{SNAPSHOTS}.GetSnapshotInfo"));
    let described = reflect(channel.clone(), symbol).await?;
    assert!(matches!(described, MessageResponse::FileDescriptorResponse(_)), "{described:?}");
    // Decisions are made elsewhere.
    let refused = check(&channel, check_of(http("GET", "/healthz"))).await?;
    let Some(HttpResponse::DeniedResponse(denied)) = refused.http_response else { bail!("no denial") };
    assert_eq!(denied.status.context("no status")?.code, 503, "{}", denied.body);
    Ok(())
}

#[tokio::test]
async fn a_peer_of_another_host_needs_a_token_for_reviews() -> Result<()> {
    let state =
        Arc::new(State::new("https://gw.example.com".to_owned(), Arc::new(SigningKeys::ephemeral()?)));
    state.publish_objects(Bundle::default());
    let issuers =
        issuer_keys::spawn(FetchConfig::default(), state.wanted(), |_, _| {}, CancellationToken::new())?;
    let admin = Admin {
        state,
        cluster: None,
        events: None,
        issuers,
        tokens: Arc::new(TokenCache::new(0)),
        metrics: Arc::default(),
        draining: Arc::new(AtomicBool::new(false)),
    };
    for (peer, allowed) in [
        (Some("127.0.0.1:1"), true),
        (Some("[::1]:1"), true),
        (Some("[::ffff:127.0.0.1]:1"), true),
        (Some("192.0.2.1:1"), false),
        (Some("[2001:db8::1]:1"), false),
        (None, false),
    ] {
        let mut request = tonic::Request::new(GetSnapshotInfoRequest {});
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>()?));
        }
        let code = admin.get_snapshot_info(request).await.err().map(|status| status.code());
        assert_eq!(code, if allowed { None } else { Some(Code::Unauthenticated) }, "{peer:?}");
    }

    let Some(own) = own_address() else {
        // Past the capture of the test's output, so that it is seen where the test passes.
        writeln!(
            stderr(),
            "skipped: reviews over the network (this machine has no address beside loopback)"
        )?;
        return Ok(());
    };
    let objects = grant("reviewer", "IAM:Review", "*") + &grant("alice", "Function:*", "*");
    let stack = Stack::start(Setup { admin_everywhere: true, ..Setup::new(objects) }).await?;
    let port = stack.service.ports.admin.port();
    let channel = connect(&format!("http://{}", SocketAddr::new(own, port))).await?;
    let (reviewer, alice) = (stack.token("reviewer").await?, stack.token("alice").await?);
    for (token, refused) in [
        (None, Some(Code::Unauthenticated)),
        (Some("garbage"), Some(Code::Unauthenticated)),
        (Some(alice.as_str()), Some(Code::PermissionDenied)),
        (Some(reviewer.as_str()), None),
    ] {
        let answer = snapshot_info(channel.clone(), token).await?;
        assert_eq!(answer.err().map(|status| status.code()), refused);
    }
    let id_token = stack.id_token("reviewer")?;
    ensure!(snapshot_info(channel, Some(&id_token)).await?.is_err(), "a token of the provider counts");
    Ok(())
}

/// An address of this machine that is not loopback. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
