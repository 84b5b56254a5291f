//! What is known of issuers that serve more than one customer: a token of theirs says little until it
//! is asked which customer it is about.

use crate::policy::Wanted;

/// An issuer whose tokens strangers can have.
#[derive(Debug)]
pub(super) struct Shared {
    /// Its name, for people.
    pub(super) name: &'static str,
    /// Its `iss`, as a pattern.
    pub(super) issuer: &'static str,
    /// Who can have a token of it.
    pub(super) open_to: &'static str,
    /// The claims that tell its customers apart. What the customer writes (a branch, an environment,
    /// a display name) or causes (who started a workflow) is none of them.
    pub(super) telling: &'static [(&'static str, Shape)],
    /// Audiences that it writes where none is asked for, as patterns.
    pub(super) default_audiences: &'static [&'static str],
}

/// How a claim has to be asked for, so that no stranger's value fits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Exactly: a pattern also fits names that a stranger may take.
    Exact,
    /// Exactly, or by a pattern that begins with one of these texts, an owner that is whole, and the
    /// character that ends it.
    Head(&'static [(&'static str, char)]),
    /// Exactly, or by a pattern that ends in a whole domain which is not everybody's.
    Email,
}

/// An issuer that states e-mail addresses which their owners need not have proven.
#[derive(Debug)]
pub(super) struct Unproven {
    /// Its `iss`, as a pattern.
    pub(super) issuer: &'static str,
    /// Claims that must be `true` for the address to count.
    pub(super) proofs: &'static [&'static str],
    /// Claims by any of which, asked for exactly, the address is no longer what identifies.
    pub(super) identifying: &'static [&'static str],
}

const PATH: Shape = Shape::Head(&[("", '/')]);

const ENTRA_CLAIMS: &[(&str, Shape)] = &[
    ("tid", Shape::Exact),
    ("oid", Shape::Exact),
    ("sub", Shape::Exact),
    ("groups", Shape::Exact),
    ("email", Shape::Email),
];

const fn entra(issuer: &'static str) -> Shared {
    Shared {
        name: "Microsoft Entra",
        issuer,
        open_to: "every organisation that uses Microsoft Entra",
        telling: ENTRA_CLAIMS,
        default_audiences: &[],
    }
}

/// The shared issuers.
pub(super) const SHARED: &[Shared] = &[
    Shared {
        name: "GitHub Actions",
        issuer: "https://token.actions.githubusercontent.com",
        open_to: "every repository on GitHub",
        telling: &[
            (
                "sub",
                Shape::Head(&[
                    ("repo:", '/'),
                    ("repository:", '/'),
                    ("repository_id:", ':'),
                    ("repository_owner:", ':'),
                    ("repository_owner_id:", ':'),
                    ("job_workflow_ref:", '/'),
                ]),
            ),
            ("repository", PATH),
            ("repository_id", Shape::Exact),
            ("repository_owner", Shape::Exact),
            ("repository_owner_id", Shape::Exact),
            ("job_workflow_ref", PATH),
            ("workflow_ref", PATH),
            ("enterprise", Shape::Exact),
            ("enterprise_id", Shape::Exact),
        ],
        default_audiences: &["https://github.com/*"],
    },
    Shared {
        name: "GitLab.com",
        issuer: "https://gitlab.com",
        open_to: "every project on GitLab.com",
        telling: &[
            ("sub", Shape::Head(&[("project_path:", '/'), ("project_id:", ':'), ("namespace_id:", ':')])),
            ("project_path", PATH),
            ("project_id", Shape::Exact),
            ("namespace_path", PATH),
            ("namespace_id", Shape::Exact),
            ("user_login", Shape::Exact),
            ("user_id", Shape::Exact),
        ],
        default_audiences: &["https://gitlab.com"],
    },
    Shared {
        name: "Google",
        issuer: "https://accounts.google.com",
        open_to: "every Google account",
        telling: &[
            ("sub", Shape::Exact),
            ("email", Shape::Email),
            ("hd", Shape::Exact),
            ("/google/compute_engine/project_id", Shape::Exact),
            ("/google/compute_engine/project_number", Shape::Exact),
            ("/google/compute_engine/instance_id", Shape::Exact),
        ],
        default_audiences: &[
            // The gcloud command's own clients.
            "32555940559.apps.googleusercontent.com",
            "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com",
        ],
    },
    Shared {
        name: "Bitbucket Pipelines",
        issuer: "https://api.bitbucket.org/2.0/workspaces/*/pipelines-config/identity/oidc",
        open_to: "every pipeline of the Bitbucket workspace",
        telling: &[
            ("sub", Shape::Head(&[("", ':')])),
            ("repositoryUuid", Shape::Exact),
            ("workspaceUuid", Shape::Exact),
            ("deploymentEnvironmentUuid", Shape::Exact),
        ],
        default_audiences: &["ari:cloud:bitbucket::workspace/*"],
    },
    Shared {
        name: "CircleCI",
        issuer: "https://oidc.circleci.com/org/*",
        open_to: "every project of the CircleCI organisation",
        telling: &[
            ("sub", Shape::Head(&[("org/", '/')])),
            ("oidc.circleci.com/project-id", Shape::Exact),
            ("oidc.circleci.com/context-ids", Shape::Exact),
        ],
        default_audiences: &[],
    },
    Shared {
        name: "Buildkite",
        issuer: "https://agent.buildkite.com",
        open_to: "every Buildkite organisation",
        telling: &[
            ("sub", Shape::Head(&[("organization:", ':')])),
            ("organization_slug", Shape::Exact),
            ("organization_id", Shape::Exact),
            ("pipeline_id", Shape::Exact),
            ("cluster_id", Shape::Exact),
        ],
        default_audiences: &["https://buildkite.com/*"],
    },
    Shared {
        name: "Terraform Cloud",
        issuer: "https://app.terraform.io",
        open_to: "every Terraform Cloud organisation",
        telling: &[
            ("sub", Shape::Head(&[("organization:", ':')])),
            ("terraform_organization_id", Shape::Exact),
            ("terraform_organization_name", Shape::Exact),
            ("terraform_project_id", Shape::Exact),
            ("terraform_workspace_id", Shape::Exact),
            ("terraform_full_workspace", Shape::Head(&[("organization:", ':')])),
        ],
        default_audiences: &[
            "aws.workload.identity",
            "vault.workload.identity",
            "api://AzureADTokenExchange",
        ],
    },
    Shared {
        name: "personal Microsoft accounts",
        issuer: "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        open_to: "every personal Microsoft account",
        telling: &[("oid", Shape::Exact), ("sub", Shape::Exact), ("email", Shape::Email)],
        default_audiences: &[],
    },
    entra("https://login.microsoftonline.com/common/v2.0"),
    entra("https://login.microsoftonline.com/organizations/v2.0"),
    entra("https://login.microsoftonline.com/consumers/v2.0"),
    entra("https://login.microsoftonline.com/{tenantid}/v2.0"),
    entra("https://sts.windows.net/common/"),
    entra("https://sts.windows.net/{tenantid}/"),
];

/// Names that Entra has for several tenants: addresses to ask at, which no token has as its `iss`.
pub(super) const ENTRA_PLACEHOLDERS: &[&str] =
    &["/common/", "/organizations/", "/consumers/", "/{tenantid}/", "/{tenant}/"];

/// The hosts of Entra's issuers.
pub(super) const ENTRA_HOSTS: &[&str] = &["https://login.microsoftonline.com/", "https://sts.windows.net/"];

const ENTRA_PROOFS: &[&str] = &["email_verified", "xms_edov"];
const ENTRA_IDENTIFYING: &[&str] = &["oid", "sub", "groups", "roles"];

/// The issuers of unproven addresses.
pub(super) const UNPROVEN: &[Unproven] = &[
    Unproven {
        issuer: "https://login.microsoftonline.com/*",
        proofs: ENTRA_PROOFS,
        identifying: ENTRA_IDENTIFYING,
    },
    Unproven { issuer: "https://sts.windows.net/*", proofs: ENTRA_PROOFS, identifying: ENTRA_IDENTIFYING },
    Unproven {
        issuer: "https://accounts.google.com",
        proofs: &["email_verified"],
        identifying: &["sub", "hd"],
    },
    Unproven { issuer: "https://*.auth0.com/", proofs: &["email_verified"], identifying: &["sub"] },
];

/// Domains in which everybody can have an address.
const EVERYBODYS_DOMAINS: &[&str] =
    &["@gmail.com", "@googlemail.com", "@outlook.com", "@hotmail.com", "@live.com"];

// === impl Shape ===

impl Shape {
    /// Whether only values of known owners match.
    pub(super) fn tells(self, wanted: &Wanted) -> bool {
        match (self, wanted.as_exact()) {
            (Self::Exact, exact) => exact.is_some_and(|text| !text.is_empty()),
            (Self::Head(heads), Some(exact)) => heads.iter().any(|(start, end)| {
                exact.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && !rest.starts_with(*end))
            }),
            (Self::Head(heads), None) => heads.iter().any(|(start, end)| {
                let prefix = wanted.prefix();
                prefix.strip_prefix(start).and_then(|rest| rest.find(*end)).is_some_and(|at| at > 0)
            }),
            (Self::Email, Some(exact)) => exact.contains('@'),
            (Self::Email, None) => {
                let suffix = wanted.suffix();
                ends_in_whole_domain(&suffix) && !EVERYBODYS_DOMAINS.contains(&suffix.as_str())
            }
        }
    }
}

/// Whether what stands after the last wildcard is a whole domain (`@example.com`), or all that lies
/// under one (`.example.com`).
pub(super) fn ends_in_whole_domain(suffix: &str) -> bool {
    match suffix.rsplit_once('@') {
        Some((_, domain)) => !domain.is_empty(),
        None => suffix.strip_prefix('.').is_some_and(|domain| domain.contains('.')),
    }
}
