//! Whether Roles trust more people than they seem to: what is asked of the tokens of issuers that
//! strangers can have tokens of.
//!
//! Nothing here is asked during a decision. A Role is reviewed once, with the Policies that it names;
//! one that grants nothing is not reviewed at all.

mod providers;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::bundle::JwtIssuer;
use super::diagnostic::{Code, Severity};
use super::snapshot::LinkedPolicy;
use crate::policy::pattern::Glob;
use crate::policy::{ClaimKey, Condition, Effect, Role, Wanted};
use providers::{ENTRA_HOSTS, ENTRA_PLACEHOLDERS, SHARED, Shared, UNPROVEN, Unproven, ends_in_whole_domain};

/// What becomes of a Role whose trust is too broad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Federation {
    /// A warning.
    #[default]
    Lenient,
    /// An error: the Role is closed. It grants nothing; what it denies stays denied.
    Strict,
}

/// What a review says of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) field: String,
    pub(super) code: Code,
    pub(super) message: String,
}

/// Issuers that nobody registers: a pattern of `iss` that fits them names no issuer.
const STRANGERS: &[&str] = &["https://stranger.invalid", "https://stranger.invalid/"];

const GITHUB: &str = "https://token.actions.githubusercontent.com";

// === impl Federation ===

impl Federation {
    /// How bad a finding is. In strict mode those are errors that show a Role to be open to strangers.
    pub(super) const fn severity(self, code: Code) -> Severity {
        match (self, code) {
            (Self::Strict, Code::BroadTrust | Code::IssuerNotNamed) => Severity::Error,
            _ => Severity::Warning,
        }
    }
}

impl Finding {
    fn new(field: impl Into<String>, code: Code, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

/// Reviews a JwtIssuer.
pub(super) fn review_issuer(issuer: &JwtIssuer) -> Vec<Finding> {
    let mut findings = Vec::new();
    let placeholder = ENTRA_PLACEHOLDERS.iter().any(|name| issuer.iss.contains(name));
    if placeholder && ENTRA_HOSTS.iter().any(|host| issuer.iss.starts_with(host)) {
        let message = "is no tenant's issuer: tokens have the tenant's id in its place, so none is accepted; \
                       register each tenant, as `https://login.microsoftonline.com/TENANT-ID/v2.0`";
        findings.push(Finding::new("spec.iss", Code::InvalidIssuer, message));
    }
    for shared in shared(&issuer.iss) {
        let defaults: Vec<_> = shared.default_audiences.iter().map(|text| Glob::parse(text)).collect();
        for (i, audience) in issuer.aud.iter().enumerate() {
            if defaults.iter().any(|default| default.matches(audience)) {
                let message = format!(
                    "`{audience}` is an audience of {} for other services: tokens made for those are \
                     accepted here; have tokens made for the gateway's URL, and name that",
                    shared.name
                );
                findings.push(Finding::new(format!("spec.aud[{i}]"), Code::DefaultAudience, message));
            }
        }
    }
    findings
}

/// Reviews a Role with its Policies. `foreign` are the registered issuers but for our own.
pub(super) fn review_role(role: &Role, policies: &[LinkedPolicy], foreign: &[&str]) -> BTreeSet<Finding> {
    let mut findings = BTreeSet::new();
    let conditions: Vec<_> = [&role.principal, &role.condition].into_iter().flatten().collect();
    let never = |condition: &&Condition| condition.is_never_certain();
    if role.unreadable || conditions.is_empty() || conditions.iter().any(never) {
        return findings;
    }
    let statements = policies.iter().flat_map(|linked| &linked.policy.statements);
    let (conditional, unconditional): (Vec<_>, Vec<_>) = statements
        .filter(|statement| statement.effect == Effect::Allow)
        .map(|statement| statement.condition.as_ref())
        .partition(Option::is_some);
    if !unconditional.is_empty() {
        findings.extend(Trust::new(conditions.clone(), foreign).findings());
    }
    // What a statement asks beyond the Role narrows its trust as well.
    for condition in conditional.into_iter().flatten().filter(|condition| !never(condition)) {
        let all = conditions.iter().copied().chain([condition]).collect();
        findings.extend(Trust::new(all, foreign).findings());
    }
    findings
}

/// The table with its patterns read: Roles are many.
static SHARED_BY_PATTERN: LazyLock<Vec<(Glob, &'static Shared)>> =
    LazyLock::new(|| SHARED.iter().map(|shared| (Glob::parse(shared.issuer), shared)).collect());

/// The shared issuers that `iss` is.
fn shared(iss: &str) -> impl Iterator<Item = &'static Shared> + use<'_> {
    SHARED_BY_PATTERN.iter().filter(move |(pattern, _)| pattern.matches(iss)).map(|(_, shared)| *shared)
}

/// Whom a conjunction of conditions trusts.
struct Trust<'a> {
    conditions: Vec<&'a Condition>,
    foreign: &'a [&'a str],
    /// Whether it says which issuers it is about.
    names_issuer: bool,
    /// The issuers that it admits: the registered ones that it does not exclude, and those that it
    /// spells out.
    issuers: BTreeSet<String>,
}

impl<'a> Trust<'a> {
    fn new(conditions: Vec<&'a Condition>, foreign: &'a [&'a str]) -> Self {
        let mut trust = Self { conditions, foreign, names_issuer: false, issuers: BTreeSet::new() };
        let demands = trust.demands("iss");
        let is_name = |wanted: &Wanted| !STRANGERS.iter().any(|stranger| wanted.matches(stranger));
        trust.names_issuer = demands.iter().any(|alternatives| alternatives.iter().all(is_name));
        let spelt_out = demands.iter().flatten().filter_map(Wanted::as_exact);
        let known = foreign.iter().copied().chain(spelt_out);
        let admitted = |iss: &&str| demands.iter().all(|any| any.iter().any(|wanted| wanted.matches(iss)));
        trust.issuers = known.filter(admitted).map(str::to_owned).collect();
        trust
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.broad();
        if findings.is_empty() {
            findings.extend(self.loose());
            findings.extend(self.renamable());
        }
        findings.extend(self.unnamed());
        findings.extend(self.unproven());
        findings
    }

    /// Demands on a claim: a name, or a JSON Pointer.
    fn demands(&self, claim: &str) -> Vec<Vec<Wanted>> {
        let Ok(key) = ClaimKey::parse(claim) else { return Vec::new() };
        self.conditions.iter().flat_map(|condition| condition.demands(&key)).collect()
    }

    /// Whether a claim must be one that `test` accepts.
    fn asks(&self, claim: &str, test: impl Fn(&Wanted) -> bool) -> bool {
        self.demands(claim).iter().any(|alternatives| alternatives.iter().all(&test))
    }

    fn asks_exactly(&self, claim: &str) -> bool {
        self.asks(claim, |wanted| wanted.as_exact().is_some())
    }

    fn is_narrow(&self, shared: &Shared) -> bool {
        shared.telling.iter().any(|(claim, shape)| self.asks(claim, |wanted| shape.tells(wanted)))
    }

    fn broad(&self) -> Vec<Finding> {
        if !self.names_issuer {
            return Vec::new();
        }
        let shared = self.issuers.iter().flat_map(|iss| shared(iss).map(move |shared| (iss, shared)));
        let open = shared.filter(|(_, shared)| !self.is_narrow(shared));
        let finding = open.map(|(iss, shared)| {
            let claims: Vec<_> = shared.telling.iter().map(|(claim, _)| format!("`jwt:{claim}`")).collect();
            let message = format!(
                "trusts {iss}, whose tokens {} can have: say whose with one of {}, in full; a pattern must \
                 not fit a name that a stranger can take",
                shared.open_to,
                claims.join(", ")
            );
            Finding::new("spec", Code::BroadTrust, message)
        });
        finding.collect()
    }

    fn unnamed(&self) -> Option<Finding> {
        let why = match self.foreign {
            _ if self.names_issuer => return None,
            [] => return None,
            [only] => format!(
                "{only} is the only one now, but with a second JwtIssuer the same claims from there match too"
            ),
            several => format!("the same claims from any of {} issuers match", several.len()),
        };
        let message = format!("names no issuer: {why}; add `StringEqual: {{\"jwt:iss\": [ISSUER]}}`");
        Some(Finding::new("spec", Code::IssuerNotNamed, message))
    }

    /// Patterns that begin with a wildcard, where they are what tells people apart.
    fn loose(&self) -> Vec<Finding> {
        if !self.issuers.is_empty() && self.issuers.iter().all(|iss| shared(iss).next().is_some()) {
            return Vec::new();
        }
        let open = |wanted: &Wanted| wanted.as_exact().is_none() && !wanted.is_any();
        let subject = |wanted: &Wanted| open(wanted) && wanted.prefix().is_empty();
        let email = |wanted: &Wanted| open(wanted) && !ends_in_whole_domain(&wanted.suffix());
        let mut findings = Vec::new();
        if self.demands("sub").iter().flatten().any(subject) {
            let message = "a pattern of `jwt:sub` begins with a wildcard: it fits every subject that ends so; \
                           begin it with what is yours";
            findings.push(Finding::new("spec", Code::LoosePattern, message));
        }
        if self.demands("email").iter().flatten().any(email) {
            let message = "a pattern of `jwt:email` does not end in a whole domain: it also fits addresses in \
                           other domains; end it with `@DOMAIN`";
            findings.push(Finding::new("spec", Code::LoosePattern, message));
        }
        findings
    }

    /// Patterns of GitHub subjects that hold names only.
    fn renamable(&self) -> Option<Finding> {
        let by_id = ["repository_id", "repository_owner_id"].iter().any(|claim| self.asks_exactly(claim));
        if by_id || !self.issuers.contains(GITHUB) {
            return None;
        }
        let by_name = |wanted: &Wanted| {
            let prefix = wanted.prefix();
            let owner = prefix.strip_prefix("repo:").and_then(|rest| rest.split_once('/'));
            wanted.as_exact().is_none() && owner.is_some_and(|(owner, _)| !owner.contains('@'))
        };
        self.demands("sub").iter().flatten().any(by_name).then(|| {
            let message = "a pattern of `jwt:sub` begins with `repo:OWNER/`: subjects of newer repositories \
                           hold ids (`repo:OWNER@ID/NAME@ID:…`) and do not match, and names can pass to \
                           others; match `jwt:repository_owner_id` or `jwt:repository_id`";
            Finding::new("spec", Code::RenamableSubject, message)
        })
    }

    fn unproven(&self) -> Option<Finding> {
        if !self.asks("email", |wanted| !wanted.is_any()) {
            return None;
        }
        let is_true = |wanted: &Wanted| wanted.as_exact() == Some("true");
        let settled = |rule: &Unproven| {
            rule.proofs.iter().any(|claim| self.asks(claim, is_true))
                || rule.identifying.iter().any(|claim| self.asks_exactly(claim))
        };
        let stated_by = |iss: &String| {
            UNPROVEN.iter().find(|rule| Glob::parse(rule.issuer).matches(iss) && !settled(rule))
        };
        let (iss, rule) = self.issuers.iter().find_map(|iss| Some((iss, stated_by(iss)?)))?;
        let name = |claims: &[&str]| {
            claims.iter().map(|claim| format!("`jwt:{claim}`")).collect::<Vec<_>>().join(" or ")
        };
        let message = format!(
            "matches `jwt:email`, which {iss} also states unproven: add `Bool` with {}, or match {}",
            name(rule.proofs),
            name(rule.identifying)
        );
        Some(Finding::new("spec", Code::UnverifiedEmail, message))
    }
}
