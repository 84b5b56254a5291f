//! Serves HTTP on a listener, within limits that a flood cannot move.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::connections::{Activity, Connections, Place, UnderWay};
use super::listener::{Listener, Stream};
use super::tls::Tls;
use crate::telemetry::{ConnectionFault, Metrics, Port};

/// How long nothing is accepted when the process has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(50);
/// How long a connection that is told to end may still take for its last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long a connection that has not asked anything may still begin to, when the service stops.
const FIRST_WORDS: Duration = Duration::from_secs(1);
/// How long one may still take that was agreed under other certificates.
const RETIRED: Duration = Duration::from_secs(30);
/// Streams that one HTTP/2 connection may have at once. An answer that is not read takes some 7 KiB
/// until the connection ends, 30 seconds later; Envoy opens another connection where it needs more.
const STREAMS: u32 = 256;
/// How many streams may wait, reset by their client before they were looked at; beyond them the
/// connection is ended.
const PENDING_RESETS: usize = 64;
/// How many streams may be ended for a client's errors before its connection is.
const ERROR_RESETS: usize = 256;
/// Header fields of one request, in bytes. A token may have 16 KiB.
const HEADERS: u32 = 64 * 1024;
/// Header fields of one request.
const HEADER_COUNT: usize = 100;
/// How much is read ahead for a stream, and for a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How a listener is served.
#[derive(Debug, Clone)]
pub struct Server {
    /// Which address this is.
    pub port: Port,
    /// How many connections it has at most.
    pub max_connections: usize,
    /// With which certificate, if with one.
    pub tls: Option<Arc<Tls>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// How long things may take.
#[derive(Debug)]
struct Times {
    /// A TLS handshake.
    handshake: Duration,
    /// From the connection to the end of its first request's head.
    first_request: Duration,
    /// While no request begins or ends. Envoy's own limits are shorter, so that it does not write into a
    /// connection that is being closed.
    idle: Duration,
    /// From a request's head to the head of its answer; the body comes in between.
    request: Duration,
}

/// What the connections of a listener share.
struct Shared {
    server: Server,
    times: Times,
    connections: Arc<Connections>,
    app: Router,
    stop: CancellationToken,
}

// === impl Times ===

impl Times {
    const fn of(port: Port) -> Self {
        let seconds = Duration::from_secs;
        Self {
            handshake: seconds(5),
            first_request: seconds(10),
            idle: match port {
                // Envoy's default is an hour.
                Port::Grpc => seconds(2 * 3600),
                Port::Http | Port::Admin => seconds(60),
            },
            request: seconds(10),
        }
    }
}

/// Serves until `shutdown`, then until the requests under way are answered.
///
/// # Errors
/// None so far: whatever happens to a connection concerns that connection alone.
pub async fn serve(
    listener: Listener,
    app: Router,
    server: Server,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let connections = Connections::new(server.max_connections);
    let times = Times::of(server.port);
    let stop = CancellationToken::new();
    let shared = Arc::new(Shared { server, times, connections, app, stop });
    let tasks = TaskTracker::new();
    let mut shutdown = pin!(shutdown);
    let mut no_room = false;
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                no_room = false;
                accept(&shared, &tasks, stream, peer);
            }
            // The client was gone before it was accepted.
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                if !no_room {
                    tracing::error!(%error, port = shared.server.port.name(), "no connection can be accepted");
                }
                no_room = true;
                shared.count(ConnectionFault::NotAccepted);
                shared.connections.evict();
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
    drop(listener);
    shared.stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput)
}

fn accept(shared: &Arc<Shared>, tasks: &TaskTracker, stream: Stream, peer: Option<SocketAddr>) {
    let Some(place) = shared.connections.admit() else {
        shared.count(ConnectionFault::Full);
        return;
    };
    let (shared, evicted) = (Arc::clone(shared), place.evicted.clone());
    tasks.spawn(async move {
        let _open = shared.server.metrics.open_connection(shared.server.port);
        tokio::select! {
            () = evicted.cancelled() => shared.count(ConnectionFault::Evicted),
            () = connection(&shared, place, stream, peer) => {}
        }
    });
}

/// From the handshake to the end.
async fn connection(shared: &Arc<Shared>, place: Place, stream: Stream, peer: Option<SocketAddr>) {
    let Some(tls) = &shared.server.tls else {
        return converse(shared, place, stream, peer, CancellationToken::new()).await;
    };
    let (acceptor, retired) = tls.acceptor();
    match timeout(shared.times.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => converse(shared, place, stream, peer, retired).await,
        Ok(Err(error)) => {
            shared.count(ConnectionFault::Handshake);
            tracing::debug!(%error, ?peer, "TLS handshake failed");
        }
        Err(_) => shared.count(ConnectionFault::Handshake),
    }
}

/// Requests and answers. `retired` ends it when what it was agreed under has changed.
async fn converse(
    shared: &Arc<Shared>,
    place: Place,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: Option<SocketAddr>,
    retired: CancellationToken,
) {
    let activity = Activity::new(place);
    let service = service_fn(|request: Request<Incoming>| {
        let under_way = activity.begin();
        answer(shared.app.clone(), request, peer, shared.times.request, under_way)
    });
    let builder = builder(shared.server.port, &shared.times);
    let mut conversation = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut end: Option<Instant> = None;
    loop {
        tokio::select! {
            // What went wrong is the client's affair, and its connection is over.
            _ = conversation.as_mut() => return,
            () = shared.stop.cancelled(), if end.is_none() => {
                end = Some(if activity.heard() { far_away() } else { Instant::now() + FIRST_WORDS });
            }
            () = retired.cancelled(), if end.is_none() => end = Some(Instant::now() + RETIRED),
            () = activity.quiet(shared.times.first_request, shared.times.idle), if end.is_none() => {
                shared.count(ConnectionFault::Idle);
                end = Some(Instant::now() + LAST_ANSWERS);
            }
            () = sleep_until(end.unwrap_or_else(far_away)), if end.is_some() => return,
        }
        conversation.as_mut().graceful_shutdown();
    }
}

/// Requests under way are waited for: who stops the service says for how long.
fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(24 * 3600)
}

fn builder(port: Port, times: &Times) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // It runs between requests, too.
        .header_read_timeout(times.idle)
        .max_buf_size(HEADERS as usize)
        .max_headers(HEADER_COUNT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .max_header_list_size(HEADERS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(16 * 1024)
        .max_send_buf_size(64 * 1024)
        // A connection whose other end is gone is noticed within 30 seconds.
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    if port == Port::Grpc { builder.http2_only() } else { builder }
}

/// Answers a request, or says that it took too long to arrive.
async fn answer(
    app: Router,
    request: Request<Incoming>,
    peer: Option<SocketAddr>,
    limit: Duration,
    under_way: UnderWay,
) -> Result<Response<Accounted>, Infallible> {
    let mut request = request.map(Body::new);
    if let Some(peer) = peer {
        request.extensions_mut().insert(ConnectInfo(peer));
    }
    let response = match timeout(limit, app.oneshot(request)).await {
        Ok(Ok(response)) => response,
        Err(_) => too_slow(),
    };
    Ok(response.map(|body| Accounted { body, _under_way: under_way }))
}

/// RFC 9110 section 15.5.9.
fn too_slow() -> Response<Body> {
    let mut response = Response::new(Body::from("the request did not arrive in time\n"));
    *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

impl Shared {
    fn count(&self, fault: ConnectionFault) {
        self.server.metrics.count_fault(self.server.port, fault);
    }
}

/// The body of an answer, with which its request ends.
struct Accounted {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Accounted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
