//! Identity and access management for OpenFaaS: an Envoy external authorization (ext_authz) service
//! and an OAuth 2.0 token exchange.
//!
//! ```text
//! source::*  ->  Bundle  ->  compile  ->  Snapshot (swapped whole)
//!                                            |
//! CheckRequest -> identity::verify + route -> decide -> CheckResponse
//! ```
//!
//! The modules stand in dependency order: a module uses only modules above it. Everything down to
//! [`envoy`] is pure: no sockets, no files, no clock, no environment, no logging. Time comes in as
//! a parameter.
//!
//! ```
//! use std::sync::Arc;
//!
//! use faas_iam::compile::{Bundle, IssuerKeys, compile};
//! use faas_iam::crd::Defaults;
//! use faas_iam::decide::{Decision, Request, decide};
//! use faas_iam::identity::{KeySet, OwnIssuer, verify::described};
//! use faas_iam::policy::{Action, Context, Resource};
//! use faas_iam::source::files::read_documents;
//!
//! let objects = r#"
//! apiVersion: iam.openfaas.com/v1
//! kind: Policy
//! metadata: {name: dev-read}
//! spec:
//!   statement:
//!   - {sid: read, effect: Allow, action: ["Function:Get"], resource: ["dev:*"]}
//! ---
//! apiVersion: iam.openfaas.com/v1
//! kind: Role
//! metadata: {name: developers}
//! spec:
//!   policy: [dev-read]
//!   condition: {"ForAnyValue:StringEqual": {"jwt:groups": [developers]}}
//! "#;
//! let mut bundle = Bundle::default();
//! read_documents(objects, "objects.yaml", &Defaults::default(), &mut bundle);
//! let own = OwnIssuer::new("https://gateway.example.com", Arc::new(KeySet::default()));
//! let (snapshot, diagnostics) = compile(&bundle, &IssuerKeys::new(), &own);
//! assert!(diagnostics.is_empty());
//!
//! let claims = serde_json::json!({
//!     "iss": "https://idp.example.com", "sub": "alice", "aud": "openfaas", "groups": ["developers"]
//! });
//! let principal = described(claims.as_object().cloned().unwrap_or_default())?;
//! let (resource, context) = (Resource::object("dev", "checkout"), Context::default());
//! let mut request =
//!     Request { principal: &principal, action: Action::FunctionGet, resource: &resource, context: &context };
//! assert!(matches!(decide(&snapshot, &request), Decision::Allow(_)));
//! request.action = Action::FunctionDelete;
//! assert!(matches!(decide(&snapshot, &request), Decision::Deny(_)));
//! # Ok::<(), faas_iam::identity::TokenRejection>(())
//! ```

// Pure core.
pub mod reason;
pub mod json;
pub mod identity;
pub mod policy;
pub mod route;
pub mod compile;
pub mod decide;
pub mod envoy;

// Edge.
pub mod crd;
pub mod token;
pub mod state;
pub mod source;
pub mod report;
pub mod telemetry;
pub mod transport;
pub mod service;
pub mod cli;

// For tests, benches and fuzzers.
#[cfg(any(test, feature = "test-util"))]
pub mod invariants;
