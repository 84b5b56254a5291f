//! What every decision reads: linked, indexed, immutable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::bundle::ObjectRef;
use crate::identity::{Issuers, OwnIssuer, Principal};
use crate::policy::{Policy, Role};

/// Names the content of a snapshot: equal objects give equal revisions, on every replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(Arc<str>);

/// All that a decision reads, as one value.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Names the content.
    pub revision: Revision,
    /// The trusted issuers and their keys.
    pub issuers: Issuers,
    /// This service as an issuer.
    pub own: OwnIssuer,
    /// How many objects of each kind there are.
    pub counts: Counts,
    /// Whether a function asks for function tokens, by namespace and name.
    pub(super) functions: BTreeMap<(String, String), bool>,
    /// Where a function that is not known does not ask: where all functions are known.
    pub(super) known_functions: KnownFunctions,
    pub(super) roles: RoleIndex,
}

/// Where all functions are known, so that one that is not is none.
#[derive(Debug, Clone)]
pub(super) enum KnownFunctions {
    /// A part of the source cannot be read: another function may stand there.
    Nowhere,
    /// In these namespaces.
    In(BTreeSet<String>),
    /// In all namespaces.
    Everywhere,
}

/// How many objects of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// JwtIssuers, unreadable ones included.
    pub issuers: usize,
    /// Policies.
    pub policies: usize,
    /// Roles.
    pub roles: usize,
}

/// A Role with the Policies that it names.
#[derive(Debug, Clone)]
pub struct LinkedRole {
    /// The Role object.
    pub reference: ObjectRef,
    /// What it says.
    pub role: Role,
    /// Its Policies, by name, without repetition.
    pub policies: Vec<LinkedPolicy>,
}

/// A Policy as a Role names it.
#[derive(Debug, Clone)]
pub struct LinkedPolicy {
    /// Its name.
    pub name: Arc<str>,
    /// What it says; closed where it could not be read.
    pub policy: Arc<Policy>,
    /// Whether the Policy exists and some of it can be read.
    pub readable: bool,
}

/// Roles by a text that an identity must have for them to matter, so that unrelated Roles cost nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct RoleIndex {
    roles: Vec<Arc<LinkedRole>>,
    by_subject: BTreeMap<String, Vec<u32>>,
    by_issuer: BTreeMap<String, Vec<u32>>,
    others: Vec<u32>,
}

// === impl Revision ===

impl Revision {
    pub(super) fn new(digest: &[u8]) -> Self {
        let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self(hex.into())
    }

    /// Sixteen hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The Roles that may match the identity: all but those that plainly ask for another subject or
    /// issuer. In the order of their names.
    pub fn candidates<'a>(&'a self, principal: &Principal) -> impl Iterator<Item = &'a LinkedRole> + use<'a> {
        self.roles.candidates(principal)
    }

    /// All Roles, in the order of their names.
    pub fn roles(&self) -> impl Iterator<Item = &LinkedRole> {
        self.roles.roles.iter().map(AsRef::as_ref)
    }

    /// Whether a function asks for function tokens.
    pub fn asks_for_token(&self, namespace: &str, name: &str) -> bool {
        match self.functions.get(&(namespace.to_owned(), name.to_owned())) {
            Some(&asks) => asks,
            None => !self.known_functions.hold_all_of(namespace),
        }
    }
}

// === impl KnownFunctions ===

impl KnownFunctions {
    fn hold_all_of(&self, namespace: &str) -> bool {
        match self {
            Self::Nowhere => false,
            Self::In(namespaces) => namespaces.contains(namespace),
            Self::Everywhere => true,
        }
    }
}

// === impl RoleIndex ===

impl RoleIndex {
    /// `roles` must be in the order of their names.
    pub(super) fn new(roles: Vec<Arc<LinkedRole>>) -> Self {
        let mut index = Self { roles, ..Self::default() };
        for (i, linked) in index.roles.iter().enumerate() {
            let Ok(i) = u32::try_from(i) else { break };
            let required = |claim: &str| {
                let conditions = [&linked.role.principal, &linked.role.condition];
                conditions.into_iter().flatten().find_map(|condition| condition.required_texts(claim))
            };
            let (map, texts) = match (required("sub"), required("iss")) {
                (Some(subjects), _) => (&mut index.by_subject, subjects),
                (None, Some(issuers)) => (&mut index.by_issuer, issuers),
                (None, None) => {
                    index.others.push(i);
                    continue;
                }
            };
            for text in texts {
                map.entry(text.to_owned()).or_default().push(i);
            }
        }
        index
    }

    fn candidates<'a>(&'a self, principal: &Principal) -> impl Iterator<Item = &'a LinkedRole> + use<'a> {
        let by_subject = self.by_subject.get(&principal.subject).map_or(&[][..], Vec::as_slice);
        let by_issuer = self.by_issuer.get(&principal.issuer).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<u32> = [by_subject, by_issuer, &self.others].concat();
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|i| self.roles.get(i as usize)).map(AsRef::as_ref)
    }
}
