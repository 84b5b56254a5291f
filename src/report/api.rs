//! The few requests to the API server that telling needs.

use std::time::Duration;

use http::{Method, Request};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::event::micro_time;
use crate::compile::{Kind, ObjectRef};
use crate::source::kubernetes::{Cluster, Trouble};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection.
pub(super) struct Api {
    client: Client,
}

/// What a request is for, for people.
struct Purpose<'a> {
    verb: &'static str,
    resource: &'static str,
    namespace: &'a str,
}

/// What an answer may be beside what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What was asked for.
    Object(Value),
    /// There is none (404).
    Absent,
    /// There is one already, or it changed meanwhile (409).
    Conflict,
}

// === impl Api ===

impl Api {
    pub(super) async fn connect(cluster: &Cluster) -> Result<Self, Trouble> {
        Ok(Self { client: cluster.connect().await? })
    }

    /// The uid of an object, if it is there.
    pub(super) async fn uid(&self, object: &ObjectRef) -> Result<Option<String>, Trouble> {
        let ObjectRef { kind, namespace, name } = object;
        let (plural, resource) = match kind {
            Kind::JwtIssuer => ("jwtissuers", "jwtissuers.iam.openfaas.com"),
            Kind::Policy => ("policies", "policies.iam.openfaas.com"),
            Kind::Role => ("roles", "roles.iam.openfaas.com"),
            Kind::Function | Kind::Deployment => return Ok(None),
        };
        let path = format!("/apis/iam.openfaas.com/v1/namespaces/{namespace}/{plural}/{name}");
        let purpose = Purpose { verb: "get", resource, namespace };
        let answer = self.send(Method::GET, &path, None, &purpose).await?;
        let Answer::Object(found) = answer else { return Ok(None) };
        Ok(found.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned))
    }

    /// Writes an Event, or counts it once more where it is there already.
    pub(super) async fn write_event(&self, event: &Value) -> Result<(), Trouble> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let purpose = |verb| Purpose { verb, resource: "events.events.k8s.io", namespace };
        let folder = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let path = format!("{folder}/{name}");
        for _ in 0..2 {
            let made = self.send(Method::POST, &folder, Some(event), &purpose("create")).await?;
            // A namespace that is gone has no Events.
            if made != Answer::Conflict {
                break;
            }
            // One that expires between these requests is made anew.
            let there = self.send(Method::GET, &path, None, &purpose("get")).await?;
            let Answer::Object(there) = there else { continue };
            let count = there.pointer("/series/count").and_then(Value::as_u64).unwrap_or(1);
            let series = json!({"count": count + 1, "lastObservedTime": micro_time(Timestamp::now())});
            let series = json!({"series": series});
            if let Answer::Object(_) =
                self.send(Method::PATCH, &path, Some(&series), &purpose("patch")).await?
            {
                break;
            }
        }
        Ok(())
    }

    /// Reads a Lease.
    pub(super) async fn lease(&self, namespace: &str, name: &str) -> Result<Answer, Trouble> {
        let purpose = Purpose { verb: "get", resource: LEASES, namespace };
        self.send(Method::GET, &format!("{}/{name}", leases(namespace)), None, &purpose).await
    }

    /// Makes a Lease.
    pub(super) async fn create_lease(&self, namespace: &str, lease: &Value) -> Result<Answer, Trouble> {
        let purpose = Purpose { verb: "create", resource: LEASES, namespace };
        self.send(Method::POST, &leases(namespace), Some(lease), &purpose).await
    }

    /// Replaces a Lease, if it is still the one that was read.
    pub(super) async fn replace_lease(
        &self,
        namespace: &str,
        name: &str,
        lease: &Value,
    ) -> Result<Answer, Trouble> {
        let purpose = Purpose { verb: "update", resource: LEASES, namespace };
        self.send(Method::PUT, &format!("{}/{name}", leases(namespace)), Some(lease), &purpose).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        purpose: &Purpose<'_>,
    ) -> Result<Answer, Trouble> {
        let media_type =
            if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("content-type", media_type);
        let request = request.body(body).map_err(Trouble::request)?;
        let doing = format!("{} {}", purpose.verb, purpose.resource);
        match timeout(ANSWER, self.client.request::<Value>(request)).await {
            Ok(Ok(object)) => Ok(Answer::Object(object)),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(Answer::Absent),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Ok(Answer::Conflict),
            Ok(Err(error)) => {
                let place = format!("{} in the namespace `{}`", purpose.resource, purpose.namespace);
                Err(Trouble::of(purpose.verb, &place, &format!("`{}`", purpose.verb), &error))
            }
            Err(_) => Err(Trouble::slow(&doing, ANSWER)),
        }
    }
}

const LEASES: &str = "leases.coordination.k8s.io";

fn leases(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
}
