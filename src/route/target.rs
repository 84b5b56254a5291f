//! What an API call touches: the namespaces and names that the providers read from it.
//!
//! Where the query, the path and the body may each name something, all that do must agree. For the
//! calls whose namespace one provider takes from the query and another from the body, the query is
//! then completed on the way upstream, so that in the common cases all of them read the same.

use super::body::Body;
use super::query::Query;
use super::{Action, ApiCall, HttpRequest, Provider, Reason, Refusal, Resource, Rules, name};

const IN_QUERY: &str = "the namespace in the query";
const IN_BODY: &str = "the namespace in the body";

/// In place of the logs of this namespace, faas-netes reads those of the default one.
const KUBE_SYSTEM: &str = "kube-system";

/// Where a call says what it touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It touches the installation.
    Cluster,
    /// It touches no single namespace.
    EveryNamespace,
    /// A namespace, from the query.
    QueryNamespace,
    /// A function: its name from the path, its namespace from the query.
    Function,
    /// A function: both from the query.
    Logs,
    /// A function and the secrets that it mounts, all from the body.
    Deployment,
    /// A function: its name from the body; faas-netes takes its namespace from the query, faasd from
    /// the body.
    FunctionDeletion,
    /// A function: faas-netes takes its name from the path and its namespace from the query, faasd
    /// both from the body.
    Scaling,
    /// A secret, from the body.
    Secret,
    /// A secret: its name from the body; faas-netes takes its namespace from the body, faasd from the
    /// query.
    SecretDeletion,
    /// A namespace, from the path.
    Namespace,
    /// A namespace, from the body; the path may name it too.
    NewNamespace,
    /// A namespace, from the path; the body may name it too.
    NamespaceChange,
}

/// Who takes the namespace from the query; the other one takes it from the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueryReader {
    FaasNetes,
    Faasd,
}

/// An API call and what its meaning depends on.
pub(super) struct Call<'a> {
    pub(super) request: &'a HttpRequest<'a>,
    pub(super) rules: &'a Rules,
    /// The segment of the path that names something.
    pub(super) name: &'a str,
    pub(super) query: &'a Query,
}

impl Call<'_> {
    /// Reads what the call touches.
    pub(super) fn read(&self, action: Action, reading: Reading) -> Result<ApiCall, Refusal> {
        let (resources, set_namespace) = match reading {
            Reading::Cluster => (vec![Resource::Cluster], None),
            Reading::EveryNamespace => (vec![Resource::AllNamespaces], None),
            Reading::QueryNamespace => (vec![Resource::Namespace(self.query_or_default()?.to_owned())], None),
            Reading::Function => (vec![self.function()?], None),
            Reading::Logs => (self.logs()?, None),
            Reading::Deployment => (vec![self.deployment()?], None),
            Reading::Secret => (vec![self.secret()?], None),
            Reading::FunctionDeletion => {
                let body = Body::read(self.request)?;
                let function = required(&body, "functionName", "the function name in the body")?;
                let function = name::label("the function name in the body", function)?;
                self.split(&body, function, QueryReader::FaasNetes)?
            }
            Reading::Scaling => {
                let body = Body::read(self.request)?;
                let function = self.scaled_function(&body)?;
                self.split(&body, function, QueryReader::FaasNetes)?
            }
            Reading::SecretDeletion => {
                let body = Body::read(self.request)?;
                let secret = secret_name(&body)?;
                self.split(&body, secret, QueryReader::Faasd)?
            }
            Reading::Namespace => (vec![self.namespace(None)?], None),
            Reading::NewNamespace | Reading::NamespaceChange => {
                let body = Body::read(self.request)?;
                if reading == Reading::NamespaceChange && self.name.is_empty() {
                    return Err(name::missing("the namespace in the path"));
                }
                (vec![self.namespace(body.text("name"))?], None)
            }
        };
        let closed = self.rules.closed(&resources);
        Ok(ApiCall { action: Some(action), resources, set_namespace, closed })
    }

    /// The namespace that the query names. An empty one is none, for every reader.
    fn query_namespace(&self) -> Result<Option<&str>, Refusal> {
        let named = self.query.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        named.map(|namespace| name::label(IN_QUERY, namespace)).transpose()
    }

    fn query_or_default(&self) -> Result<&str, Refusal> {
        Ok(self.query_namespace()?.unwrap_or(&self.rules.default_namespace))
    }

    fn function(&self) -> Result<Resource, Refusal> {
        let function =
            name::label("the function in the path (its namespace goes into the query)", self.name)?;
        Ok(Resource::object(self.query_or_default()?, function))
    }

    fn logs(&self) -> Result<Vec<Resource>, Refusal> {
        let named = self.query.name.as_deref().filter(|name| !name.is_empty());
        let function = named.ok_or_else(|| name::missing("the function, as 'name' in the query,"))?;
        let function = name::label("the function in the query", function)?;
        let namespace = self.query_or_default()?;
        let mut resources = vec![Resource::object(namespace, function)];
        if namespace == KUBE_SYSTEM && self.rules.provider != Provider::Faasd {
            resources.push(Resource::object(&self.rules.default_namespace, function));
        }
        Ok(resources)
    }

    fn deployment(&self) -> Result<Resource, Refusal> {
        let body = Body::read(self.request)?;
        let function = required(&body, "service", "the function, as 'service' in the body,")?;
        let function = name::label("the function in the body", function)?;
        for secret in body.secrets()? {
            name::subdomain("a secret in the body", secret)?;
        }
        self.in_body_namespace(&body, function)
    }

    fn secret(&self) -> Result<Resource, Refusal> {
        let body = Body::read(self.request)?;
        self.in_body_namespace(&body, secret_name(&body)?)
    }

    /// An object whose namespace every provider takes from the body.
    fn in_body_namespace(&self, body: &Body, object: &str) -> Result<Resource, Refusal> {
        let in_body = body_namespace(body)?;
        agree((IN_QUERY, self.query_namespace()?), (IN_BODY, in_body))?;
        Ok(Resource::object(in_body.unwrap_or(&self.rules.default_namespace), object))
    }

    fn scaled_function<'a>(&'a self, body: &'a Body) -> Result<&'a str, Refusal> {
        let in_path = name::label("the function in the path", self.name)?;
        let what = "the function in the body";
        let in_body = body.text("serviceName").map(|function| name::label(what, function)).transpose()?;
        agree(("the function in the path", Some(in_path)), (what, in_body))?;
        Ok(in_path)
    }

    /// An object whose namespace one provider takes from the query and the other from the body: what
    /// they read once the query is completed, and what completes it.
    fn split(
        &self,
        body: &Body,
        object: &str,
        query_reader: QueryReader,
    ) -> Result<(Vec<Resource>, Option<String>), Refusal> {
        let default = self.rules.default_namespace.as_str();
        let (in_query, in_body) = (self.query_namespace()?, body_namespace(body)?);
        agree((IN_QUERY, in_query), (IN_BODY, in_body))?;

        let set_namespace = match self.query.namespace {
            None => Some(in_body.unwrap_or(default)),
            Some(_) => None,
        };
        let from_query = Resource::object(set_namespace.or(in_query).unwrap_or(default), object);
        let from_body = Resource::object(in_body.unwrap_or(default), object);
        let (faas_netes, faasd) = match query_reader {
            QueryReader::FaasNetes => (from_query, from_body),
            QueryReader::Faasd => (from_body, from_query),
        };
        let resources = match self.rules.provider {
            Provider::FaasNetes => vec![faas_netes],
            Provider::Faasd => vec![faasd],
            Provider::Any if faas_netes == faasd => vec![faas_netes],
            Provider::Any => vec![faas_netes, faasd],
        };
        Ok((resources, set_namespace.map(str::to_owned)))
    }

    /// The namespace that path and body name.
    fn namespace(&self, in_body: Option<&str>) -> Result<Resource, Refusal> {
        let (path, body) = ("the namespace in the path", "the namespace, as 'name' in the body,");
        let in_path = Some(self.name).filter(|name| !name.is_empty());
        let in_path = in_path.map(|namespace| name::label(path, namespace)).transpose()?;
        let in_body = in_body.map(|namespace| name::label(body, namespace)).transpose()?;
        agree((path, in_path), (body, in_body))?;
        let namespace = in_path.or(in_body).ok_or_else(|| name::missing("the name of the namespace"))?;
        Ok(Resource::Namespace(namespace.to_owned()))
    }
}

/// The namespace that a body names. An empty one is none: the providers take it for the default or
/// refuse it.
fn body_namespace(body: &Body) -> Result<Option<&str>, Refusal> {
    let named = body.text("namespace").filter(|namespace| !namespace.is_empty());
    named.map(|namespace| name::label(IN_BODY, namespace)).transpose()
}

fn secret_name(body: &Body) -> Result<&str, Refusal> {
    let what = "the secret, as 'name' in the body,";
    name::subdomain(what, required(body, "name", what)?)
}

fn required<'a>(body: &'a Body, field: &str, what: &str) -> Result<&'a str, Refusal> {
    body.text(field).filter(|text| !text.is_empty()).ok_or_else(|| name::missing(what))
}

/// Refuses two names of one thing that differ. Both must have proved to be DNS names.
fn agree(left: (&str, Option<&str>), right: (&str, Option<&str>)) -> Result<(), Refusal> {
    match (left, right) {
        ((place, Some(one)), (other_place, Some(other))) if one != other => Err(Refusal::new(
            Reason::ConflictingTarget,
            format!("{place} is {one} but {other_place} is {other}: send the same in both or only one"),
        )),
        _ => Ok(()),
    }
}
