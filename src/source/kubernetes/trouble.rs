//! What went wrong with the cluster, for people.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use kube::client::AuthError;

use super::watched::{Scope, Watched};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Discover,
    List,
    Watch,
}

/// What went wrong: one line that says what to do. No token stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble(String);

// === impl Trouble ===

impl Trouble {
    /// What an error of a list or watch means.
    pub(super) fn new(step: Step, scope: &Scope, error: &kube::Error) -> Self {
        let resource = scope.kind.resource();
        match error {
            kube::Error::Api(status) if status.code == 404 && Watched::IAM.contains(&scope.kind) => {
                Self(format!(
                    "the API server does not know {resource} (404): install the CustomResourceDefinitions of \
                     iam.openfaas.com/v1"
                ))
            }
            kube::Error::Api(status) if status.code == 410 => {
                Self(format!("the watch of {resource} fell too far behind (410): it is listed anew"))
            }
            other => Self::of(step.verb(), &scope.shown(), "`list` and `watch`", other),
        }
    }

    /// What an error of the API server or of the way there means, when something (`verb`) was to be
    /// done to something (`place`), for which verbs are to be granted.
    pub fn of(verb: &str, place: &str, grant: &str, error: &kube::Error) -> Self {
        Self(match error {
            kube::Error::Api(status) => match status.code {
                401 => {
                    "the API server does not accept the credentials (401): they are invalid or have expired; \
                     renew those of the kubeconfig or of the service account"
                        .to_owned()
                }
                403 => format!(
                    "no permission to {verb} {place} (403): grant {grant} on it to the account that is used"
                ),
                code => format!("cannot {verb} {place}: the API server says {code}: {}", status.message),
            },
            kube::Error::Auth(error) => return Self::credentials(error),
            other => match auth_error(other) {
                Some(error) => return Self::credentials(error),
                None => format!("cannot {verb} {place}: {}", root(other)),
            },
        })
    }

    /// No cluster is configured, or not so that it can be asked.
    pub(super) fn no_cluster(error: &(dyn Error + 'static)) -> Self {
        Self(format!(
            "no cluster can be asked: neither KUBECONFIG (or ~/.kube/config) nor a service account in a pod \
             leads to one; set or mend one of them: {}",
            root(error)
        ))
    }

    pub(super) fn no_namespace(namespace: &str) -> Self {
        Self(format!("the namespace `{namespace}` does not exist: is --namespace right?"))
    }

    /// A request that cannot be sent.
    pub fn request(error: impl fmt::Display) -> Self {
        Self(format!("the request cannot be written: {error}"))
    }

    pub(super) fn answer(error: &serde_json::Error) -> Self {
        Self(format!("the answer is no list of objects: is this an API server? {error}"))
    }

    pub(super) fn silent(scope: &Scope, limit: Duration) -> Self {
        Self(format!("the API server said nothing of {} for {} s", scope.shown(), limit.as_secs_f64()))
    }

    /// No answer came in time.
    pub fn slow(doing: &str, limit: Duration) -> Self {
        Self(format!("cannot {doing}: no answer for {} s", limit.as_secs_f64()))
    }

    pub(super) fn no_version(scope: &Scope) -> Self {
        Self(format!("an event of {} has no resourceVersion", scope.kind.resource()))
    }

    /// What a program that gets credentials wrote may hold some.
    fn credentials(error: &AuthError) -> Self {
        Self(match error {
            AuthError::AuthExecRun { cmd, out } => {
                format!("cannot get credentials: `{cmd}` ended with {}", out.status)
            }
            AuthError::AuthExecParse(_) => {
                "cannot get credentials: the program's answer is unreadable".to_owned()
            }
            other => format!("cannot get credentials: {}", root(other)),
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Step ===

impl Step {
    const fn verb(self) -> &'static str {
        match self {
            Self::Discover => "look for",
            Self::List => "list",
            Self::Watch => "watch",
        }
    }
}

/// Why in the end: the errors above it say the same with fewer words.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

fn auth_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a AuthError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
