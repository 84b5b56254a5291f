//! A decision point that gives the answer it is told to: for tests of Envoy and its configuration.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A body of 8 MiB and the headers around it.
const MAX_MESSAGE: usize = 9 * 1024 * 1024;

/// What the stub does with a call.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Answers so.
    Respond(Box<CheckResponse>),
    /// Fails the call.
    Fail(Status),
    /// Never answers.
    Hang,
}

/// A running decision point.
#[derive(Debug)]
pub(crate) struct AuthzStub {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    shutdown: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    calls: Vec<CheckRequest>,
}

#[derive(Debug)]
struct Service(Arc<Mutex<State>>);

// === impl AuthzStub ===

impl AuthzStub {
    /// Starts one on a free port that refuses every request.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts one on a given address.
    pub(crate) async fn start_at(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            answer: Answer::Fail(Status::unavailable("no answer was prepared")),
            calls: Vec::new(),
        }));
        let service =
            AuthorizationServer::new(Service(Arc::clone(&state))).max_decoding_message_size(MAX_MESSAGE);
        let (shutdown, asked) = oneshot::channel();
        let server = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                    asked.await.ok();
                })
                .await
                .ok();
        });
        Ok(Self { address, state, shutdown: Some(shutdown), server })
    }

    /// Gives this answer from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        lock(&self.state).answer = answer;
    }

    /// Gives this response from now on.
    pub(crate) fn respond(&self, response: CheckResponse) {
        self.answer(Answer::Respond(Box::new(response)));
    }

    /// The calls since the last time this was asked.
    pub(crate) fn take_calls(&self) -> Vec<CheckRequest> {
        std::mem::take(&mut lock(&self.state).calls)
    }

    /// The HTTP requests of the calls since the last time this was asked.
    pub(crate) fn take_requests(&self) -> Vec<HttpRequest> {
        self.take_calls().into_iter().filter_map(|call| call.attributes?.request?.http).collect()
    }

    /// Ends the server and its connections, once the running calls are answered.
    pub(crate) async fn stop(mut self) {
        drop(self.shutdown.take());
        (&mut self.server).await.ok();
    }
}

impl Drop for AuthzStub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tonic::async_trait]
impl Authorization for Service {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let answer = {
            let mut state = lock(&self.0);
            state.calls.push(request.into_inner());
            state.answer.clone()
        };
        match answer {
            Answer::Respond(response) => Ok(Response::new(*response)),
            Answer::Fail(status) => Err(status),
            Answer::Hang => std::future::pending().await,
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
