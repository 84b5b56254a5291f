//! The wires: what comes in over the network, and what goes out.

pub mod http;
