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
//! [`decide`] is pure: no sockets, no files, no clock, no environment, no logging. Time comes in as
//! a parameter.

// Pure core.
pub mod reason;
pub mod json;
pub mod identity;
pub mod policy;
pub mod route;
pub mod compile;
pub mod decide;

// Edge.
pub mod crd;
pub mod token;
pub mod state;
pub mod source;
pub mod telemetry;
pub mod transport;
pub mod service;
pub mod cli;
