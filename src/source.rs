//! Where objects and keys come from.

pub mod files;
