//! The running service: everything of `faas-iam serve`, from its configuration to its end.

mod exchange;
mod watch;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use crate::compile::Federation;
use crate::crd::Defaults;
use crate::decide::authorize::{FunctionAuth, Settings};
use crate::report::{self, Reporter};
use crate::source::issuer_keys::{self, FetchConfig, IssuerKeys, ServiceAccount};
use crate::source::kubernetes::{self, Cluster, Functions};
use crate::state::State;
use crate::telemetry::{Metrics, Port};
use crate::token::TokenCache;
use crate::token::limit::RateLimit;
use crate::token::signer::SigningKeys;
use crate::transport::admin::Admin;
use crate::transport::ext_authz::ExtAuthz;
use crate::transport::gateway_credentials::GatewayCredentials;
use crate::transport::listener::{Address, Listener};
use crate::transport::overload::{self, FEW, Limits, Load};
use crate::transport::serve::{Server, serve};
use crate::transport::tls::{Tls, TlsFiles};
use crate::transport::{grpc, http};
use exchange::Exchange;

/// After the signal to stop, how long the service still takes requests while it already says that it
/// is not ready, so that no proxy sends to a closed port.
const DRAIN: Duration = Duration::from_secs(1);
/// How long requests under way may then take.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// What the service does, checked and ready to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our URL as an issuer.
    pub issuer: String,
    /// Where the objects are.
    pub objects: Objects,
    /// Private keys; an ephemeral one is made where there are none.
    pub signing_keys: Vec<PathBuf>,
    /// Where the gateway's credentials are.
    pub gateway_credentials: Option<PathBuf>,
    /// Where Envoy asks.
    pub grpc_listen: Address,
    /// With which certificates, if with any.
    pub grpc_tls: Option<TlsFiles>,
    /// Connections that each address has at most.
    pub max_connections: usize,
    /// What may be under way on Envoy's address.
    pub grpc_limits: Limits,
    /// Where tokens are exchanged.
    pub http_listen: SocketAddr,
    /// Probes and what is in force.
    pub admin_listen: SocketAddr,
    /// How requests are read and decided.
    pub settings: Settings,
    /// What becomes of Roles that trust too broadly.
    pub federation: Federation,
    /// Whether routes may accept the gateway's administrator.
    pub admin_basic_auth: bool,
    /// Certificates that identity providers are trusted by, beside those of the system.
    pub ca_bundle: Option<PathBuf>,
    /// Where the service account of the pod is mounted, if this is one.
    pub service_account: PathBuf,
    /// How much memory verified tokens may take, in bytes.
    pub token_cache_bytes: u64,
    /// Token requests of one client address a second.
    pub token_rate: u32,
    /// Token requests of one client address at once.
    pub token_burst: u32,
}

/// Where the objects are.
#[derive(Debug, Clone)]
pub enum Objects {
    /// In files of a directory.
    Directory(PathBuf),
    /// In a Kubernetes cluster.
    Cluster {
        /// Its namespace.
        namespace: String,
        /// How old what is known of it may become, if there is a limit.
        max_staleness: Option<Duration>,
    },
}

/// Runs until the process is told to stop (SIGTERM, SIGINT), or a part of it fails.
///
/// # Errors
/// The service cannot start, or a part of it ended by itself.
pub async fn run(config: Config) -> anyhow::Result<()> {
    // Handlers first: a signal during start-up must end the process the same way.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (admin, health) = start(config, &mut tasks, &stop).await?;

    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = tasks.join_next() => Some(ended),
    };
    if let Some(ended) = failed {
        stop.cancel();
        return match ended {
            Some(Ok(Err(error))) => Err(error),
            Some(Err(error)) => Err(error.into()),
            _ => Err(anyhow!("a part of the service ended by itself")),
        };
    }
    tracing::info!("stopping: requests under way are answered first");
    admin.draining.store(true, Ordering::Relaxed);
    grpc::set_health(&health, false).await;
    tokio::time::sleep(DRAIN).await;
    stop.cancel();
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_REQUESTS, all).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

/// Starts every part. What can fail because of the configuration fails here, with its name.
async fn start(
    config: Config,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<(Admin, HealthReporter)> {
    // Before anything listens: a file that is not there is a mistake in the command line.
    let keys = watch::contents(&config.signing_keys);
    let signing = Arc::new(load_signing_keys(&config.signing_keys)?);
    let gateway = load_gateway_credentials(&config)?;
    let tls = config.grpc_tls.clone().map(Tls::load).transpose()?.map(Arc::new);
    if let Objects::Directory(directory) = &config.objects {
        fs::read_dir(directory).with_context(|| format!("--policy-dir {}", directory.display()))?;
    }
    let state = Arc::new(State::new(config.issuer.clone(), signing).with_federation(config.federation));
    let issuers = keep_issuer_keys(&config, &state, stop)?;

    let grpc_listener = listen("--grpc-listen", &config.grpc_listen).await?;
    let http_listener = listen("--http-listen", &Address::Tcp(config.http_listen)).await?;
    let admin_listener = listen("--admin-listen", &Address::Tcp(config.admin_listen)).await?;

    let metrics = Arc::new(Metrics::default());
    let tokens = Arc::new(TokenCache::new(config.token_cache_bytes));
    let draining = Arc::new(AtomicBool::new(false));
    let (health, health_service) = tonic_health::server::health_reporter();
    grpc::set_health(&health, false).await;

    let cluster = matches!(config.objects, Objects::Cluster { .. }).then(kubernetes::Status::default);
    let admin = Admin {
        state: Arc::clone(&state),
        issuers: issuers.clone(),
        cluster: cluster.clone(),
        events: cluster.as_ref().map(|_| report::Figures::default()),
        tokens: Arc::clone(&tokens),
        metrics: Arc::clone(&metrics),
        draining,
    };
    let exchange = Arc::new(Exchange::new(config.issuer.clone(), Arc::clone(&state), issuers));
    let ext_authz = ExtAuthz {
        state: Arc::clone(&state),
        settings: config.settings.clone(),
        gateway: gateway.clone(),
        metrics: Arc::clone(&metrics),
        tokens,
        admin_basic_auth: config.admin_basic_auth,
    };

    follow_objects(&config, &admin, watch::Publisher::new(Arc::clone(&state), health.clone()), tasks, stop);
    tasks.spawn(until(stop.clone(), watch::files(config.signing_keys, keys, state, gateway)));
    if let Some(tls) = &tls {
        tasks.spawn(until(stop.clone(), watch::certificates(Arc::clone(tls), Arc::clone(&metrics))));
    }
    let routers = Routers {
        admin: admin.clone().router()?,
        http: http::router(exchange, RateLimit::new(config.token_rate, config.token_burst)),
        grpc: grpc::router(ext_authz, health_service)?,
    };
    let edge =
        Edge { metrics, tls, max_connections: config.max_connections, grpc_limits: config.grpc_limits };
    for task in edge.serve([admin_listener, http_listener, grpc_listener], routers, stop) {
        tasks.spawn(task);
    }

    if config.grpc_tls.as_ref().is_none_or(|tls| tls.client_ca.is_none()) {
        config.grpc_listen.warn_of_others();
    }
    let (http, admin_address) = (config.http_listen, config.admin_listen);
    tracing::info!(issuer = config.issuer, grpc = %config.grpc_listen, %http, admin = %admin_address, "listening");
    Ok((admin, health))
}

/// Puts the objects in force, now and whenever they change.
fn follow_objects(
    config: &Config,
    admin: &Admin,
    publisher: watch::Publisher,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    stop: &CancellationToken,
) {
    let (state, rules) = (&admin.state, &config.settings.rules);
    let function_namespace = rules.default_namespace.clone();
    match &config.objects {
        Objects::Directory(directory) => {
            let defaults = Defaults { function_namespace, ..Defaults::default() };
            tasks.spawn(until(stop.clone(), watch::directory(directory.clone(), defaults, publisher)));
        }
        Objects::Cluster { namespace, max_staleness } => {
            let functions = Functions {
                default_namespace: function_namespace.clone(),
                system_namespaces: rules.system_namespaces.clone(),
            };
            let declared = config.settings.function_auth == FunctionAuth::Declared;
            let functions = declared.then_some(functions);
            let (max_staleness, iam_namespace) = (*max_staleness, namespace.clone());
            let source = Cluster { functions, max_staleness, ..Cluster::new(iam_namespace.clone()) };
            let defaults = Defaults { function_namespace, iam_namespace };
            let reporter = Reporter {
                cluster: source.clone(),
                state: Arc::clone(state),
                issuers: admin.issuers.clone(),
                instance: instance(),
                figures: admin.events.clone().unwrap_or_default(),
            };
            tasks.spawn(report::run(reporter, stop.clone()));
            let status = admin.cluster.clone().unwrap_or_default();
            tasks.spawn(until(stop.clone(), watch::age(status.clone(), max_staleness, Arc::clone(state))));
            tasks.spawn(until(stop.clone(), watch::cluster(source, defaults, status, publisher)));
        }
    }
}

/// What is served, by address.
struct Routers {
    admin: Router,
    http: Router,
    grpc: Router,
}

/// How it is served.
struct Edge {
    metrics: Arc<Metrics>,
    tls: Option<Arc<Tls>>,
    max_connections: usize,
    grpc_limits: Limits,
}

impl Edge {
    /// The servers of the admin address, the token service and Envoy's address.
    fn serve(
        self,
        [admin, http, grpc]: [Listener; 3],
        routers: Routers,
        stop: &CancellationToken,
    ) -> [impl Future<Output = anyhow::Result<()>> + Send + use<>; 3] {
        let one = |port, listener, router: Router, limits, tls| {
            let load = Load::new(limits, Arc::clone(&self.metrics));
            let router = router.layer(from_fn_with_state(load, overload::limit));
            let (metrics, max_connections) = (Arc::clone(&self.metrics), self.max_connections);
            serve(
                listener,
                router,
                Server { port, max_connections, tls, metrics },
                stop.clone().cancelled_owned(),
            )
        };
        [
            one(Port::Admin, admin, routers.admin, FEW, None),
            one(Port::Http, http, routers.http, FEW, None),
            one(Port::Grpc, grpc, routers.grpc, self.grpc_limits, self.tls.clone()),
        ]
    }
}

fn load_gateway_credentials(config: &Config) -> anyhow::Result<Option<Arc<GatewayCredentials>>> {
    let Some(directory) = &config.gateway_credentials else { return Ok(None) };
    let at = || format!("--gateway-credentials {}", directory.display());
    Ok(Some(Arc::new(GatewayCredentials::load(directory).with_context(at)?)))
}

/// Starts to keep the keys of all issuers that the state wants.
fn keep_issuer_keys(
    config: &Config,
    state: &Arc<State>,
    stop: &CancellationToken,
) -> anyhow::Result<IssuerKeys> {
    let at = || match &config.ca_bundle {
        Some(path) => format!("--ca-bundle {}", path.display()),
        None => "identity providers".to_owned(),
    };
    let service_account = Some(ServiceAccount { directory: config.service_account.clone() });
    let fetch =
        FetchConfig { ca_bundle: config.ca_bundle.clone(), service_account, ..FetchConfig::default() };
    let publish = Arc::clone(state);
    let publish = move |iss, keys| publish.publish_keys(iss, keys);
    issuer_keys::spawn(fetch, state.wanted(), publish, stop.clone()).with_context(at)
}

/// Who we are among replicas: the name of the pod.
fn instance() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = std::env::var("POD_NAME").unwrap_or(host);
    if name.trim().is_empty() { "faas-iam".to_owned() } else { name.trim().to_owned() }
}

async fn listen(flag: &str, address: &Address) -> anyhow::Result<Listener> {
    address.bind().await.with_context(|| format!("{flag} {address}: cannot listen"))
}

/// Runs a task that goes on for ever, until the service stops.
async fn until(
    stop: CancellationToken,
    task: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    match stop.run_until_cancelled(task).await {
        Some(result) => result,
        None => Ok(()),
    }
}

/// Reads the private keys; an ephemeral one takes their place where there are none.
fn load_signing_keys(paths: &[PathBuf]) -> anyhow::Result<SigningKeys> {
    if paths.is_empty() {
        tracing::warn!(
            "no --signing-key: tokens are signed with a key that is gone when the service stops, and that \
             no other replica has"
        );
        return Ok(SigningKeys::ephemeral()?);
    }
    let mut files = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let content = fs::read(path).with_context(|| format!("--signing-key {name}"))?;
        files.push((name, content));
    }
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    SigningKeys::load(&files).context("--signing-key")
}

#[cfg(test)]
mod tests;
