//! A namespace of the cluster with objects in it.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;

use crate::support::api_server::{Answer, ApiServer};
use crate::support::identity_provider::IdentityProvider;
use crate::support::objects;

/// What the identity provider calls this installation.
pub(crate) const CLIENT_ID: &str = "openfaas";

/// A namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Namespace<'a> {
    pub(crate) server: &'a ApiServer,
    pub(crate) name: &'a str,
}

// === impl Namespace ===

impl<'a> Namespace<'a> {
    /// Makes it, if it is not there yet.
    pub(crate) async fn make(server: &'a ApiServer, name: &'a str) -> Result<Self> {
        let namespace = json!({"metadata": {"name": name}});
        let answer = server.create("/api/v1/namespaces", &namespace).await?;
        ensure!(matches!(answer.status, 201 | 409), "{answer:?}");
        Ok(Self { server, name })
    }

    /// Where an object is; `kind` as paths write it.
    pub(crate) fn path(&self, kind: &str, name: &str) -> String {
        format!("/apis/iam.openfaas.com/v1/namespaces/{}/{kind}/{name}", self.name)
    }

    /// Creates an object or replaces what it was.
    pub(crate) async fn apply(&self, kind: &str, name: &str, object: &str) -> Result<()> {
        self.server.apply(&self.path(kind, name), object).await?.expect(201)?;
        Ok(())
    }

    /// Puts an object in the place of another, of which nothing is left.
    pub(crate) async fn replace(&self, kind: &str, name: &str, object: &str) -> Result<()> {
        self.delete(kind, name).await?.expect(200)?;
        self.apply(kind, name, object).await
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, kind: &str, name: &str) -> Result<Answer> {
        let token = self.server.admin_token()?;
        self.server.call(Method::DELETE, &self.path(kind, name), Some(&token), None).await
    }

    /// Trusts a provider.
    pub(crate) async fn trust(&self, provider: &IdentityProvider) -> Result<()> {
        self.apply("jwtissuers", "provider", &objects::issuer(&provider.issuer, CLIENT_ID)).await
    }

    /// Lets somebody do something.
    pub(crate) async fn grant(&self, subject: &str, action: &str, resource: &str) -> Result<()> {
        self.apply("policies", subject, &objects::policy(subject, action, resource)).await?;
        self.apply("roles", subject, &objects::role(subject, subject, subject)).await
    }
}
