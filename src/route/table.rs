//! The routes of the OpenFaaS gateway, and of this service behind the same address.
//!
//! Matching is that of the gateway's router: on the decoded path, case-sensitive, in full; a slash
//! more or less at the end is another path. `HEAD` is not `GET`.

use super::Action;
use super::target::Reading;

/// A path and its methods.
pub(super) struct Row {
    path: Path,
    methods: Methods,
}

/// What the path of a row looks like.
enum Path {
    /// Exactly this.
    Exact(&'static str),
    /// This and one more segment.
    Named(&'static str),
    /// This and one more segment, which may be empty.
    MaybeNamed(&'static str),
    /// This, one more segment, and then nothing, or a slash and anything.
    Function(&'static str),
    /// This and anything.
    Below(&'static str),
}

enum Methods {
    Any(Endpoint),
    /// One endpoint for each method.
    Each {
        methods: &'static [&'static str],
        endpoints: &'static [Endpoint],
    },
}

/// What a method of a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Open to everyone.
    Public,
    /// The files of the dashboard.
    StaticFiles,
    /// Closed to everyone.
    Closed,
    /// Closed to everyone but the gateway's administrator.
    ClosedButToAdmin,
    /// A call of a function.
    Invoke,
    /// A call of a function that is queued, with an optional callback.
    InvokeAsync,
    /// Withdraws a queued call, by its id, which names no function.
    CancelAsync,
    /// A call of the API.
    Call(Action, Reading),
}

macro_rules! methods {
    ($($method:literal: $endpoint:expr),+ $(,)?) => {
        Methods::Each { methods: &[$($method),+], endpoints: &[$($endpoint),+] }
    };
}

const fn call(action: Action, reading: Reading) -> Endpoint {
    Endpoint::Call(action, reading)
}

const TABLE: &[Row] = &[
    Row {
        path: Path::Function("/function/"),
        methods: methods! {
            "GET": Endpoint::Invoke,
            "HEAD": Endpoint::Invoke,
            "POST": Endpoint::Invoke,
            "PUT": Endpoint::Invoke,
            "PATCH": Endpoint::Invoke,
            "DELETE": Endpoint::Invoke,
            "OPTIONS": Endpoint::Invoke,
        },
    },
    Row {
        path: Path::Function("/async-function/"),
        methods: methods! { "POST": Endpoint::InvokeAsync, "DELETE": Endpoint::CancelAsync },
    },
    Row {
        path: Path::Exact("/system/functions"),
        methods: methods! {
            "GET": call(Action::FunctionList, Reading::QueryNamespace),
            "POST": call(Action::FunctionCreate, Reading::Deployment),
            "PUT": call(Action::FunctionUpdate, Reading::Deployment),
            "DELETE": call(Action::FunctionDelete, Reading::FunctionDeletion),
        },
    },
    Row {
        path: Path::Named("/system/function/"),
        methods: methods! { "GET": call(Action::FunctionGet, Reading::Function) },
    },
    Row {
        path: Path::Named("/system/scale-function/"),
        methods: methods! { "POST": call(Action::FunctionScale, Reading::Scaling) },
    },
    Row {
        path: Path::Exact("/system/secrets"),
        methods: methods! {
            "GET": call(Action::SecretList, Reading::QueryNamespace),
            "POST": call(Action::SecretCreate, Reading::Secret),
            "PUT": call(Action::SecretUpdate, Reading::Secret),
            "DELETE": call(Action::SecretDelete, Reading::SecretDeletion),
        },
    },
    Row {
        path: Path::Exact("/system/logs"),
        methods: methods! { "GET": call(Action::FunctionLogs, Reading::Logs) },
    },
    Row {
        path: Path::Exact("/system/namespaces"),
        methods: methods! { "GET": call(Action::NamespaceList, Reading::EveryNamespace) },
    },
    Row {
        path: Path::MaybeNamed("/system/namespace/"),
        methods: methods! {
            "GET": call(Action::NamespaceGet, Reading::Namespace),
            "POST": call(Action::NamespaceCreate, Reading::NewNamespace),
            "PUT": call(Action::NamespaceUpdate, Reading::NamespaceChange),
            "DELETE": call(Action::NamespaceDelete, Reading::NamespaceChange),
        },
    },
    Row {
        path: Path::Exact("/system/info"),
        methods: methods! { "GET": call(Action::SystemInfo, Reading::Cluster) },
    },
    Row { path: Path::Exact("/system/telemetry"), methods: methods! { "GET": Endpoint::Closed } },
    Row { path: Path::Exact("/system/alert"), methods: methods! { "POST": Endpoint::ClosedButToAdmin } },
    Row { path: Path::Below("/ui/"), methods: methods! { "GET": Endpoint::StaticFiles } },
    Row { path: Path::Exact("/"), methods: methods! { "GET": Endpoint::StaticFiles } },
    Row { path: Path::Exact("/healthz"), methods: methods! { "GET": Endpoint::Public } },
    Row { path: Path::Exact("/metrics"), methods: Methods::Any(Endpoint::Closed) },
    Row { path: Path::Exact("/oauth/token"), methods: methods! { "POST": Endpoint::Public } },
    Row {
        path: Path::Exact("/.well-known/openid-configuration"),
        methods: methods! { "GET": Endpoint::Public },
    },
    Row { path: Path::Exact("/.well-known/jwks.json"), methods: methods! { "GET": Endpoint::Public } },
];

/// The row of a path, and the segment that names something, empty where the row has none.
pub(super) fn find(path: &str) -> Option<(&'static Row, &str)> {
    TABLE.iter().find_map(|row| row.path.matches(path).map(|name| (row, name)))
}

impl Row {
    /// The endpoint of `method`, or the methods that the row has.
    pub(super) fn endpoint(&self, method: &str) -> Result<Endpoint, &'static [&'static str]> {
        match self.methods {
            Methods::Any(endpoint) => Ok(endpoint),
            Methods::Each { methods, endpoints } => {
                let mut each = methods.iter().zip(endpoints);
                each.find(|(known, _)| **known == method).map(|(_, endpoint)| *endpoint).ok_or(methods)
            }
        }
    }
}

impl Path {
    fn matches<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self {
            Self::Exact(exact) => (path == *exact).then_some(""),
            Self::Named(prefix) => {
                path.strip_prefix(prefix).filter(|name| !name.is_empty() && !name.contains('/'))
            }
            Self::MaybeNamed(prefix) => path.strip_prefix(prefix).filter(|name| !name.contains('/')),
            Self::Function(prefix) => {
                let rest = path.strip_prefix(prefix)?;
                let name = rest.split_once('/').map_or(rest, |(name, _)| name);
                (!name.is_empty()).then_some(name)
            }
            Self::Below(prefix) => path.strip_prefix(prefix).map(|_| ""),
        }
    }
}
