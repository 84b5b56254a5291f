//! The limits of what is under way on an address, and its last resort.
//!
//! A check beyond the limits is not queued: it is answered at once with a denial of 503. So is one
//! that does not arrive whole in time, and one in which the service fails by a defect: the gRPC call
//! of a check always ends OK, since a failed call is for Envoy's configuration to judge.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::middleware::Next;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Sleep, sleep, timeout};
use tonic::{Code, Status};

use super::ext_authz;
use crate::reason::Reason;
use crate::telemetry::Metrics;

/// The path of the one call that decides.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// How long a request has to arrive whole and be answered.
const IN_TIME: Duration = Duration::from_secs(5);

/// What may be under way where tokens are exchanged, and where probes answer.
pub const FEW: Limits = Limits { requests: 1024, bytes: 16 * 1024 * 1024 };

/// What may be under way of calls that take no part in decisions. Some last: their answers are streams.
const OTHER_CALLS: Limits = Limits { requests: 64, bytes: 1024 * 1024 };

/// What may be under way at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests.
    pub requests: usize,
    /// What they hold, in bytes.
    pub bytes: usize,
}

/// What is under way.
#[derive(Debug)]
pub struct Load {
    limits: Limits,
    requests: AtomicUsize,
    bytes: AtomicUsize,
    metrics: Arc<Metrics>,
    /// What health, reflection and the admin calls may have: never at the cost of checks and probes.
    other_calls: Option<Arc<Self>>,
}

/// A request under way, and what it holds.
#[derive(Debug)]
struct Share {
    load: Arc<Load>,
    bytes: AtomicUsize,
    /// Set when it asked for more than there is.
    over: AtomicBool,
}

/// What a request is, as far as it matters to who cannot be answered.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Check,
    OtherCall,
    Http,
}

/// The body of a request, as far as there is room for it.
struct Metered {
    body: Body,
    share: Arc<Share>,
    /// When it has to be whole, if the answer may come before that.
    late: Option<Pin<Box<Sleep>>>,
}

// === impl Load ===

impl Load {
    /// Nothing is under way.
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        let other_calls = Some(Arc::new(Self::within(OTHER_CALLS, Arc::clone(&metrics), None)));
        Arc::new(Self::within(limits, metrics, other_calls))
    }

    const fn within(limits: Limits, metrics: Arc<Metrics>, other_calls: Option<Arc<Self>>) -> Self {
        let (requests, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { limits, requests, bytes, metrics, other_calls }
    }

    /// The part of it that a request counts in.
    fn part(self: &Arc<Self>, asked: &Asked) -> &Arc<Self> {
        match (asked, &self.other_calls) {
            (Asked::OtherCall, Some(other_calls)) => other_calls,
            _ => self,
        }
    }

    fn admit(self: &Arc<Self>) -> Option<Arc<Share>> {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= self.limits.requests {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (bytes, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        Some(Arc::new(Share { load: Arc::clone(self), bytes, over }))
    }

    /// The answer to a request that is not looked at.
    fn unavailable(&self, asked: &Asked, reason: Reason, message: &str) -> Response<Body> {
        match asked {
            Asked::Check => {
                self.metrics.count(reason);
                grpc_message(&ext_authz::unavailable(reason, message))
            }
            Asked::OtherCall => Status::new(Code::Unavailable, message).into_http(),
            Asked::Http => {
                let mut response = Response::new(Body::from(format!("{message}\n")));
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
        }
    }
}

impl Asked {
    /// By the path alone, as calls are routed: `/PACKAGE.SERVICE/METHOD`. What a client says of its
    /// request, its method and its content type, chooses no other limit.
    fn of(path: &str) -> Self {
        let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        match path {
            CHECK => Self::Check,
            // Not `/.well-known`.
            _ if service.trim_start_matches('.').contains('.') => Self::OtherCall,
            _ => Self::Http,
        }
    }
}

impl Share {
    fn take(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let held = self.load.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let fits = held <= self.load.limits.bytes;
        if !fits {
            self.over.store(true, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.load.bytes.fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        self.load.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Middleware: answers a request, whatever happens.
pub async fn limit(
    State(load): State<Arc<Load>>,
    request: Request<Body>,
    next: Next,
) -> Result<Response<Body>, Infallible> {
    let asked = Asked::of(request.uri().path());
    let Some(share) = load.part(&asked).admit() else {
        let why = "more requests are under way than are answered at once: try again";
        return Ok(load.unavailable(&asked, Reason::Overloaded, why));
    };
    let late = matches!(asked, Asked::OtherCall).then(|| Box::pin(sleep(IN_TIME)));
    let request = request.map(|body| Body::new(Metered { body, share: Arc::clone(&share), late }));
    let answer = AssertUnwindSafe(timeout(IN_TIME, next.run(request))).catch_unwind().await;
    let (reason, why) = match answer {
        Ok(Ok(response)) if !share.over.load(Ordering::Relaxed) => match asked {
            Asked::Check => match response.headers().get(Status::GRPC_STATUS) {
                None => return Ok(response),
                Some(status) => unread(status),
            },
            Asked::OtherCall => return Ok(response.map(|body| hold(body, share))),
            Asked::Http => return Ok(response),
        },
        Ok(Ok(_)) => {
            (Reason::Overloaded, "the requests under way hold all memory there is for them: try again")
        }
        Ok(Err(_)) => (Reason::Overloaded, "the request did not arrive in time: try again"),
        Err(_) => {
            tracing::error!(?asked, "a panic was caught");
            (Reason::InternalError, "the service failed; see its log")
        }
    };
    Ok(load.unavailable(&asked, reason, why))
}

/// Why a check ended without an answer of ours: its message could not be read. Those that were read
/// end OK, with their status after the answer.
fn unread(status: &HeaderValue) -> (Reason, &'static str) {
    if status == "11" {
        (Reason::PartialBody, "the check is longer than is read: send a smaller body")
    } else {
        (Reason::InternalError, "the check cannot be read: see the configuration of Envoy")
    }
}

/// The body of an answer that counts as under way to its end.
fn hold(body: Body, share: Arc<Share>) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _held = &share;
        frame
    }))
}

/// One message, as the answer of a call that ended OK.
fn grpc_message(message: &impl prost::Message) -> Response<Body> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or_default();
    // Not compressed, the length, the message.
    let bytes = [&[0][..], &length.to_be_bytes(), &message].concat();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(bytes)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.late.as_mut().is_some_and(|late| late.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Some(Err(axum::Error::new("the request did not arrive in time"))));
        }
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        let fits = data.is_none_or(|data| this.share.take(data.len()));
        Poll::Ready(if fits { frame } else { Some(Err(axum::Error::new("no room for the body"))) })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_its_path() {
        assert_eq!(Asked::of(CHECK), Asked::Check);
        for call in [
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.health.v1.Health/Watch",
            "/faas_iam.v1.SnapshotService/GetSnapshotInfo",
            "/envoy.service.auth.v3.Authorization/Other",
        ] {
            assert_eq!(Asked::of(call), Asked::OtherCall, "{call}");
        }
        for path in ["/", "/livez", "/metrics", "/oauth/token", "/.well-known/jwks.json"] {
            assert_eq!(Asked::of(path), Asked::Http, "{path}");
        }
    }
}
