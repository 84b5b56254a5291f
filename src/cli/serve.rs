//! `faas-iam serve`: the arguments as typed, and what they mean.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::edge::EdgeArgs;
use super::{Exit, JudgingArgs, usage};
use crate::crd::Defaults;
use crate::decide::authorize::{FunctionAuth, Settings};
use crate::identity::lifetime;
use crate::policy::is_dns_label;
use crate::route::{Provider, Rules, Ui, UrlPattern};
use crate::service::{self, Config, Objects};
use crate::source::issuer_keys::SERVICE_ACCOUNT_DIR;
use crate::telemetry;
use crate::transport::listener::Address;

/// A quiet cluster confirms what is known twice in this time.
const LEAST_STALENESS: Duration = Duration::from_secs(60);

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The public URL of the gateway: `iss` and `aud` of the tokens given out
    #[arg(long, env = "FAAS_IAM_ISSUER", value_name = "URL")]
    issuer: String,
    /// A directory of YAML files with JwtIssuers, Policies and Roles, watched
    #[arg(long, env = "FAAS_IAM_POLICY_DIR", value_name = "DIR")]
    policy_dir: Option<PathBuf>,
    /// Take the JwtIssuers, Policies and Roles from a Kubernetes cluster instead, as KUBECONFIG or the
    /// pod's service account lead to it; needs --signing-key. What is wrong with them becomes Events on
    /// them there
    #[arg(long, env = "FAAS_IAM_KUBERNETES")]
    kubernetes: bool,
    /// The namespace of the objects in the cluster [default: openfaas]
    #[arg(long, env = "FAAS_IAM_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// Answer 503 when the cluster has not confirmed the objects for this long, such as 10m; without
    /// it, the last known ones stay in force
    #[arg(long, env = "FAAS_IAM_MAX_STALENESS", value_name = "DURATION")]
    max_staleness: Option<String>,
    /// An EC P-256 private key in PEM (issuer.key); the first one signs, all of them verify
    #[arg(long, env = "FAAS_IAM_SIGNING_KEY", value_name = "FILE", value_delimiter = ',')]
    signing_key: Vec<PathBuf>,
    /// A directory with the gateway's basic-auth-user and basic-auth-password
    #[arg(long, env = "FAAS_IAM_GATEWAY_CREDENTIALS", value_name = "DIR")]
    gateway_credentials: Option<PathBuf>,
    /// Where Envoy asks: IP:PORT or unix:PATH
    #[arg(long, env = "FAAS_IAM_GRPC_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:9000")]
    grpc_listen: Address,
    /// Where Envoy sends /oauth/token and /.well-known/*
    #[arg(long, env = "FAAS_IAM_HTTP_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http_listen: SocketAddr,
    /// Probes, metrics and what is in force; not for clients
    #[arg(long, env = "FAAS_IAM_ADMIN_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:9090")]
    admin_listen: SocketAddr,
    #[command(flatten)]
    edge: EdgeArgs,
    #[command(flatten)]
    reading: ReadingArgs,
    #[command(flatten)]
    judging: JudgingArgs,
    /// Whether routes whose Envoy configuration says so accept the gateway's own credentials
    #[arg(long, env = "FAAS_IAM_ADMIN_BASIC_AUTH", value_enum, default_value_t = AllowArg::Deny)]
    admin_basic_auth: AllowArg,
    /// Certificates (PEM) that identity providers are trusted by, beside those of the system
    #[arg(long, env = "FAAS_IAM_CA_BUNDLE", value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// Where the pod's service account is mounted
    #[arg(long, env = "FAAS_IAM_SERVICE_ACCOUNT", value_name = "DIR", hide = true,
          default_value = SERVICE_ACCOUNT_DIR)]
    service_account: PathBuf,
    /// Memory for tokens that were verified, in bytes; 0 verifies every token each time
    #[arg(long, env = "FAAS_IAM_TOKEN_CACHE_BYTES", value_name = "N", default_value_t = 32 * 1024 * 1024)]
    token_cache_bytes: u64,
    /// Token requests that one client address has in a second
    #[arg(long, env = "FAAS_IAM_TOKEN_RATE", value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    token_rate: u32,
    /// Token requests that one client address has at once
    #[arg(long, env = "FAAS_IAM_TOKEN_BURST", value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    token_burst: u32,
    /// How logs are written
    #[arg(long, env = "FAAS_IAM_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// Arguments that say how requests are read; `explain` has them too.
#[derive(Debug, clap::Args)]
pub(super) struct ReadingArgs {
    /// The namespace of functions and secrets that name none
    #[arg(long, env = "FAAS_IAM_DEFAULT_NAMESPACE", value_name = "NAME", default_value = "openfaas-fn")]
    default_namespace: String,
    /// Which provider's reading of a request counts
    #[arg(long, env = "FAAS_IAM_PROVIDER", value_enum, default_value_t = ProviderArg::Any)]
    provider: ProviderArg,
    /// Which functions are called with a function token only: `declared` are those with `jwt_auth` in
    /// their environment, which Functions and, with --kubernetes, their Deployments tell
    #[arg(long, env = "FAAS_IAM_FUNCTION_AUTH", value_enum, default_value_t = FunctionAuthArg::Off)]
    function_auth: FunctionAuthArg,
    /// Namespaces that no request may touch
    #[arg(
        long,
        env = "FAAS_IAM_SYSTEM_NAMESPACES",
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "openfaas,kube-system,kube-public,kube-node-lease"
    )]
    system_namespaces: Vec<String>,
    /// URLs that X-Callback-Url may hold, as patterns
    #[arg(
        long,
        env = "FAAS_IAM_CALLBACK_ALLOW",
        value_name = "GLOB",
        value_delimiter = ',',
        default_value = "https://*"
    )]
    callback_allow: Vec<String>,
    /// Whether the static files of the dashboard under /ui/ are let through
    #[arg(long, env = "FAAS_IAM_UI", value_enum, default_value_t = UiArg::Deny)]
    ui: UiArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AllowArg {
    Deny,
    Allow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProviderArg {
    Any,
    FaasNetes,
    Faasd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FunctionAuthArg {
    Off,
    Declared,
    Required,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum UiArg {
    Deny,
    Open,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let config = match self.config() {
            Ok(config) => config,
            Err(message) => return Ok(usage(&message)),
        };
        telemetry::init_logs(self.log_format == LogFormat::Json);
        self.edge.report(config.max_connections);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let ended = runtime.block_on(service::run(config));
        // Whoever still reads a file, on a file system that hangs, is not waited for.
        runtime.shutdown_background();
        ended.map(|()| Exit::Success)
    }

    /// What the arguments mean; a message where they do not go together.
    fn config(&self) -> Result<Config, String> {
        let issuer: http::Uri =
            self.issuer.parse().map_err(|_| format!("--issuer: `{}` is no URL", self.issuer))?;
        let scheme = issuer.scheme_str();
        if !matches!(scheme, Some("https" | "http"))
            || issuer.query().is_some()
            || self.issuer.contains(['#', '@'])
        {
            return Err(format!("--issuer: `{}` is not the http or https URL of the gateway", self.issuer));
        }
        let admin_basic_auth = self.admin_basic_auth == AllowArg::Allow;
        if admin_basic_auth && self.gateway_credentials.is_none() {
            return Err("--admin-basic-auth allow needs --gateway-credentials".to_owned());
        }
        Ok(Config {
            issuer: self.issuer.clone(),
            objects: self.objects()?,
            signing_keys: self.signing_key.clone(),
            gateway_credentials: self.gateway_credentials.clone(),
            grpc_listen: self.grpc_listen.clone(),
            grpc_tls: self.edge.tls()?,
            max_connections: self.edge.max_connections(),
            grpc_limits: self.edge.limits(),
            http_listen: self.http_listen,
            admin_listen: self.admin_listen,
            settings: self.reading.settings()?,
            federation: self.judging.federation(),
            admin_basic_auth,
            ca_bundle: self.ca_bundle.clone(),
            service_account: self.service_account.clone(),
            token_cache_bytes: self.token_cache_bytes,
            token_rate: self.token_rate,
            token_burst: self.token_burst,
        })
    }
}

impl Args {
    /// Where the objects are.
    fn objects(&self) -> Result<Objects, String> {
        match (&self.policy_dir, self.kubernetes) {
            (Some(_), true) => {
                return Err("--policy-dir and --kubernetes exclude each other: name one".to_owned());
            }
            (None, false) => return Err("say where the objects are: --policy-dir or --kubernetes".to_owned()),
            (Some(directory), false) if self.namespace.is_none() && self.max_staleness.is_none() => {
                return Ok(Objects::Directory(directory.clone()));
            }
            (Some(_), false) => return Err("--namespace and --max-staleness need --kubernetes".to_owned()),
            (None, true) => {}
        }
        if self.signing_key.is_empty() {
            let why = "replicas would not accept each other's tokens, nor any token outlive a restart";
            return Err(format!("--kubernetes needs --signing-key: with a key made at the start, {why}"));
        }
        let namespace = self.namespace.clone().unwrap_or_else(|| Defaults::default().iam_namespace);
        if !is_dns_label(&namespace) {
            return Err(format!("--namespace: `{namespace}` is no namespace: write a DNS label"));
        }
        let limit = self.max_staleness.as_deref().map(lifetime::parse).transpose();
        let max_staleness =
            limit.map_err(|_| "--max-staleness: write a duration such as `10m`".to_owned())?;
        if max_staleness.is_some_and(|limit| limit < LEAST_STALENESS) {
            return Err("--max-staleness: a quiet cluster confirms every 30 s: allow at least 1m".to_owned());
        }
        Ok(Objects::Cluster { namespace, max_staleness })
    }
}

impl ReadingArgs {
    /// How requests are read; a message where a value cannot be.
    pub(super) fn settings(&self) -> Result<Settings, String> {
        let default = [("--default-namespace", &self.default_namespace)];
        let system = self.system_namespaces.iter().map(|name| ("--system-namespaces", name));
        let mut named = default.into_iter().chain(system).filter(|(_, name)| !name.is_empty());
        if let Some((flag, bad)) = named.find(|(_, name)| !is_dns_label(name)) {
            return Err(format!("{flag}: `{bad}` is no namespace: write a DNS label such as `openfaas-fn`"));
        }
        let system_namespaces: BTreeSet<String> =
            self.system_namespaces.iter().filter(|name| !name.is_empty()).cloned().collect();
        if self.default_namespace.is_empty() || system_namespaces.contains(&self.default_namespace) {
            let name = &self.default_namespace;
            return Err(format!(
                "--default-namespace: `{name}` must be a namespace for functions, not of the system"
            ));
        }
        let rules = Rules {
            default_namespace: self.default_namespace.clone(),
            provider: self.provider.into(),
            system_namespaces,
            callback_allow: self.callback_allow.iter().map(|pattern| UrlPattern::parse(pattern)).collect(),
            ui: match self.ui {
                UiArg::Deny => Ui::Deny,
                UiArg::Open => Ui::Open,
            },
        };
        Ok(Settings { rules, function_auth: self.function_auth.into() })
    }
}

impl From<ProviderArg> for Provider {
    fn from(arg: ProviderArg) -> Self {
        match arg {
            ProviderArg::Any => Self::Any,
            ProviderArg::FaasNetes => Self::FaasNetes,
            ProviderArg::Faasd => Self::Faasd,
        }
    }
}

impl From<FunctionAuthArg> for FunctionAuth {
    fn from(arg: FunctionAuthArg) -> Self {
        match arg {
            FunctionAuthArg::Off => Self::Off,
            FunctionAuthArg::Declared => Self::Declared,
            FunctionAuthArg::Required => Self::Required,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_issuer_is_a_plain_url() {
        let config = |issuer: &str| {
            let typed = ["faas-iam", "--policy-dir", "policies", "--issuer", issuer];
            Only::try_parse_from(typed).unwrap().args.config()
        };
        for issuer in
            ["https://gateway.example.com", "https://gateway.example.com/base/", "http://127.0.0.1:8080"]
        {
            assert_eq!(config(issuer).unwrap().issuer, issuer);
        }
        for issuer in ["gateway", "ftp://gateway", "https://g/?x", "https://g/#x", "https://user:password@g"]
        {
            assert!(config(issuer).is_err(), "{issuer}");
        }
    }
}
