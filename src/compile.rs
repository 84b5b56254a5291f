//! From the objects of a source to a [`Snapshot`] that decisions read.
//!
//! The snapshot is a function of the objects alone: neither their order nor what was there before
//! makes a difference.

pub mod bundle;
pub mod diagnostic;
pub mod federation;
pub mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::identity::{Issuers, KeySet, OwnIssuer, TrustedIssuer};
use crate::policy::Policy;
pub use bundle::{Bundle, JwtIssuer, Kind, Object, ObjectRef};
pub use diagnostic::{Code, Diagnostic, Severity};
pub use federation::Federation;
use federation::Finding;
pub use snapshot::{Counts, LinkedPolicy, LinkedRole, Revision, Snapshot};
use snapshot::{KnownFunctions, RoleIndex};

/// Keys of issuers, by `iss`.
pub type IssuerKeys = BTreeMap<String, Arc<KeySet>>;

/// Links the objects into a snapshot, with every diagnostic: those of the bundle and those that
/// show only when objects are put together.
pub fn compile(bundle: &Bundle, keys: &IssuerKeys, own: &OwnIssuer) -> (Snapshot, Vec<Diagnostic>) {
    compile_with(bundle, keys, own, Federation::Lenient)
}

/// [`compile`], and says what becomes of Roles that trust too broadly.
pub fn compile_with(
    bundle: &Bundle,
    keys: &IssuerKeys,
    own: &OwnIssuer,
    federation: Federation,
) -> (Snapshot, Vec<Diagnostic>) {
    let (diagnostics, duplicates) = (bundle.diagnostics.clone(), BTreeSet::new());
    let mut linker = Linker { bundle, federation, diagnostics, duplicates };
    linker.find_duplicates();
    let issuers = linker.issuers(keys, own);
    let policies = linker.policies();
    let roles = linker.roles(&policies, &issuers);
    let snapshot = Snapshot {
        revision: revision(bundle, federation),
        counts: Counts {
            issuers: bundle.issuers.len(),
            policies: bundle.policies.len(),
            roles: bundle.roles.len(),
        },
        functions: linker.functions(),
        known_functions: match &bundle.function_namespaces {
            _ if bundle.unreadable_part => KnownFunctions::Nowhere,
            Some(namespaces) => KnownFunctions::In(namespaces.clone()),
            None => KnownFunctions::Everywhere,
        },
        issuers,
        own: own.clone(),
        roles: RoleIndex::new(roles),
    };
    linker.diagnostics.sort();
    linker.diagnostics.dedup();
    (snapshot, linker.diagnostics)
}

/// A JwtIssuer that can be read, with its object.
type Registration<'a> = (&'a Object<Option<JwtIssuer>>, &'a JwtIssuer);

struct Linker<'a> {
    bundle: &'a Bundle,
    federation: Federation,
    diagnostics: Vec<Diagnostic>,
    duplicates: BTreeSet<&'a ObjectRef>,
}

impl<'a> Linker<'a> {
    /// Of two objects with one name neither is read: there is no telling which one is meant.
    fn find_duplicates(&mut self) {
        let bundle = self.bundle;
        let issuers = bundle.issuers.iter().map(|o| (&o.reference, &o.origin));
        let policies = bundle.policies.iter().map(|o| (&o.reference, &o.origin));
        let roles = bundle.roles.iter().map(|o| (&o.reference, &o.origin));
        let functions = bundle.functions.iter().map(|o| (&o.reference, &o.origin));
        let mut origins: BTreeMap<&ObjectRef, Vec<&String>> = BTreeMap::new();
        for (reference, origin) in issuers.chain(policies).chain(roles).chain(functions) {
            origins.entry(reference).or_default().push(origin);
        }
        for (reference, mut origins) in origins.into_iter().filter(|(_, origins)| origins.len() > 1) {
            origins.sort();
            self.duplicates.insert(reference);
            let places = origins.iter().map(|origin| origin.as_str()).collect::<Vec<_>>().join(", ");
            let message = format!("stands more than once ({places}): all of them are closed; keep one");
            for origin in origins {
                self.report(origin, reference, "", Severity::Error, Code::DuplicateObject, message.clone());
            }
        }
    }

    fn issuers(&mut self, keys: &IssuerKeys, own: &OwnIssuer) -> Issuers {
        let mut by_iss: BTreeMap<&str, Vec<Registration<'_>>> = BTreeMap::new();
        for object in &self.bundle.issuers {
            if let (Some(issuer), false) = (&object.spec, self.duplicates.contains(&object.reference)) {
                by_iss.entry(&issuer.iss).or_default().push((object, issuer));
            }
        }
        let mut issuers = Issuers::new(own.url());
        for (iss, registrations) in by_iss {
            let internals: BTreeSet<_> =
                registrations.iter().map(|(_, issuer)| &issuer.iss_internal).collect();
            if internals.len() > 1 {
                let message =
                    "other JwtIssuers with this `iss` have another `issInternal`: all of them are closed";
                for (object, _) in registrations {
                    let (origin, reference) = (&object.origin, &object.reference);
                    let code = Code::ConflictingIssuer;
                    self.report(origin, reference, "spec.issInternal", Severity::Error, code, message.into());
                }
                continue;
            }
            let internal = internals.into_iter().next().cloned().flatten();
            let trusted = registrations.iter().map(|(object, issuer)| TrustedIssuer {
                name: object.reference.name.clone(),
                audiences: issuer.aud.clone(),
                token_lifetime: issuer.token_expiry,
            });
            issuers.register(iss, internal, trusted);
            issuers.set_keys(iss, keys.get(iss).cloned());
            for (object, issuer) in registrations.iter().filter(|_| iss != own.url()) {
                self.report_findings(object, federation::review_issuer(issuer));
            }
        }
        issuers
    }

    fn policies(&self) -> BTreeMap<(&'a str, &'a str), Arc<Policy>> {
        let policies = self.bundle.policies.iter().map(|object| {
            let closed = self.duplicates.contains(&object.reference);
            let policy = if closed { Policy::closed() } else { object.spec.clone() };
            ((object.reference.namespace.as_str(), object.reference.name.as_str()), Arc::new(policy))
        });
        policies.collect()
    }

    fn roles(
        &mut self,
        policies: &BTreeMap<(&str, &str), Arc<Policy>>,
        issuers: &Issuers,
    ) -> Vec<Arc<LinkedRole>> {
        let wanted = issuers.wanted();
        let foreign: Vec<_> = wanted.iter().map(|issuer| issuer.iss.as_str()).collect();
        let mut roles: Vec<_> = self.bundle.roles.iter().collect();
        roles.sort_by(|a, b| (&a.reference, a.digest).cmp(&(&b.reference, b.digest)));
        let mut linked = Vec::with_capacity(roles.len());
        for object in roles {
            let mut role = object.spec.clone();
            role.unreadable |= self.duplicates.contains(&object.reference);
            let mut named = Vec::new();
            for (i, name) in role.policies.iter().enumerate() {
                if role.policies.iter().take(i).any(|earlier| earlier == name) {
                    continue;
                }
                let found = policies.get(&(object.reference.namespace.as_str(), name.as_str()));
                named.extend(match found {
                    Some(policy) => Some(LinkedPolicy {
                        name: name.as_str().into(),
                        readable: !policy.is_closed(),
                        policy: Arc::clone(policy),
                    }),
                    None => self.missing_policy(object, i, name),
                });
            }
            if role.unreadable_policies {
                named.push(closed_policy("unreadable"));
            }
            role.unreadable |= self.report_findings(object, federation::review_role(&role, &named, &foreign));
            linked.push(Arc::new(LinkedRole { reference: object.reference.clone(), role, policies: named }));
        }
        linked
    }

    /// A function asks for tokens if one of the objects about it does, or may.
    fn functions(&self) -> BTreeMap<(String, String), bool> {
        let mut functions = BTreeMap::new();
        for object in &self.bundle.functions {
            let asks = object.spec.jwt_auth || self.duplicates.contains(&object.reference);
            for name in &object.spec.names {
                let key = (object.reference.namespace.clone(), name.clone());
                *functions.entry(key).or_default() |= asks;
            }
        }
        functions
    }

    /// A Policy that does not exist grants nothing and denies nothing, unless it may stand in a part
    /// of the source that cannot be read.
    fn missing_policy<T>(&mut self, role: &Object<T>, index: usize, name: &str) -> Option<LinkedPolicy> {
        let (severity, consequence) = if self.bundle.unreadable_part {
            (Severity::Error, "a part of the source cannot be read, so it is closed")
        } else {
            (Severity::Warning, "it grants nothing")
        };
        let message = format!("names the Policy `{name}`, which does not exist: {consequence}");
        let field = format!("spec.policy[{index}]");
        self.report(&role.origin, &role.reference, &field, severity, Code::MissingPolicy, message);
        self.bundle.unreadable_part.then(|| closed_policy(name))
    }

    /// Reports what a review found. True if the object is to be closed for it.
    fn report_findings<T>(
        &mut self,
        object: &Object<T>,
        findings: impl IntoIterator<Item = Finding>,
    ) -> bool {
        let mut closed = false;
        for Finding { field, code, message } in findings {
            let severity = self.federation.severity(code);
            closed |= severity == Severity::Error;
            self.report(&object.origin, &object.reference, &field, severity, code, message);
        }
        closed
    }

    fn report(
        &mut self,
        origin: &str,
        object: &ObjectRef,
        field: &str,
        severity: Severity,
        code: Code,
        message: String,
    ) {
        let (origin, object, field) = (origin.to_owned(), Some(object.clone()), field.to_owned());
        self.diagnostics.push(Diagnostic { origin, object, field, severity, code, message });
    }
}

fn closed_policy(name: &str) -> LinkedPolicy {
    LinkedPolicy { name: name.into(), policy: Arc::new(Policy::closed()), readable: false }
}

fn revision(bundle: &Bundle, federation: Federation) -> Revision {
    let issuers = bundle.issuers.iter().map(|o| (&o.reference, &o.digest));
    let policies = bundle.policies.iter().map(|o| (&o.reference, &o.digest));
    let roles = bundle.roles.iter().map(|o| (&o.reference, &o.digest));
    let functions = bundle.functions.iter().map(|o| (&o.reference, &o.digest));
    let mut parts: Vec<_> = issuers.chain(policies).chain(roles).chain(functions).collect();
    parts.sort_unstable();
    let mut hash = digest::Context::new(&digest::SHA256);
    for (reference, content) in parts {
        hash.update(reference.to_string().as_bytes());
        hash.update(b"\0");
        hash.update(content);
    }
    hash.update(&[u8::from(bundle.unreadable_part), u8::from(bundle.function_namespaces.is_some())]);
    for namespace in bundle.function_namespaces.iter().flatten() {
        hash.update(namespace.as_bytes());
        hash.update(b"\0");
    }
    if federation == Federation::Strict {
        hash.update(b"strict");
    }
    Revision::new(hash.finish().as_ref())
}
