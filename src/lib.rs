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
//! [`audit`] is pure: no sockets, no files, no clock, no environment, no logging. Time comes in as
//! a parameter.

// Pure core.
pub mod identity;
pub mod json;
pub mod policy;
pub mod reason;
pub mod route;

// Edge: I/O allowed.
pub mod source;
pub mod token;
pub mod transport;
