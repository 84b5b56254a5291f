//! Every row of the table of shared issuers, with what narrows and what only seems to.

use super::named;

/// A clause: the claim, and what is asked of it (a pattern if it holds a wildcard).
type Clause = (&'static str, &'static str);

fn check_row(iss: &str, narrow: &[Clause], broad: &[Clause]) {
    let codes = |(claim, value): &Clause| {
        let operator = if value.contains(['*', '?']) { "StringLike" } else { "StringEqual" };
        named(iss, operator, &format!("jwt:{claim}"), value)
    };
    for clause in narrow {
        assert!(!codes(clause).contains(&"broad-trust"), "{iss} {clause:?}");
    }
    for clause in broad.iter().chain(&[("aud", "https://gateway"), ("sub", "*"), ("sub", "?*")]) {
        assert_eq!(codes(clause), ["broad-trust"], "{iss} {clause:?}");
    }
}

#[test]
fn github() {
    check_row(
        "https://token.actions.githubusercontent.com",
        &[
            ("sub", "repo:acme/shop:ref:refs/heads/main"),
            ("sub", "repo:acme/*"),
            ("sub", "repo:acme@42/shop@7:*"),
            ("sub", "repository_owner_id:42:*"),
            ("sub", "repository_id:42:environment:prod"),
            ("sub", "job_workflow_ref:acme/*"),
            ("repository", "acme/shop"),
            ("repository", "acme/*"),
            ("repository_id", "7"),
            ("repository_owner", "acme"),
            ("repository_owner_id", "42"),
            ("job_workflow_ref", "acme/flows/.github/workflows/deploy.yml@*"),
            ("workflow_ref", "acme/shop/*"),
            ("enterprise", "acme"),
            ("enterprise_id", "1"),
        ],
        &[
            ("sub", "repo:*"),
            ("sub", "repo:acme*"),
            ("sub", "repo:ac?e/*"),
            ("sub", "repo:/x*"),
            ("sub", "repo:*/shop:*"),
            ("sub", "*:environment:prod"),
            ("sub", "environment:prod"),
            ("sub", "repository_owner_id:4*"),
            ("repository", "acme*"),
            ("repository", "*/shop"),
            ("repository_owner", "acme*"),
            ("repository_owner", ""),
            ("repository_id", "7*"),
            ("ref", "refs/heads/main"),
            ("environment", "production"),
            ("actor", "alice"),
            ("repository_owner", "${jwt:actor}"),
            ("sub", "repo:${jwt:repository}:ref"),
        ],
    );
}

#[test]
fn gitlab_com() {
    check_row(
        "https://gitlab.com",
        &[
            ("sub", "project_path:acme/*"),
            ("sub", "project_path:acme/shop:ref_type:branch:ref:main"),
            ("sub", "project_id:7:*"),
            ("sub", "namespace_id:7:*"),
            ("project_path", "acme/*"),
            ("project_path", "acme/shop"),
            ("project_id", "7"),
            ("namespace_path", "acme"),
            ("namespace_path", "acme/*"),
            ("namespace_id", "7"),
            ("user_login", "alice"),
            ("user_id", "7"),
        ],
        &[
            ("sub", "project_path:*"),
            ("sub", "project_path:acme*"),
            ("project_path", "acme*"),
            ("namespace_path", "acme*"),
            ("project_id", "7*"),
            ("user_login", "a*"),
            ("ref", "main"),
            ("ref_protected", "true"),
            ("environment", "production"),
        ],
    );
    assert_eq!(named("https://gitlab.example.com", "StringEqual", "jwt:ref", "main"), [""; 0]);
}

#[test]
fn google() {
    check_row(
        "https://accounts.google.com",
        &[
            ("sub", "1234"),
            ("hd", "example.com"),
            ("email", "alice@gmail.com"),
            ("email", "*@example.com"),
            ("/google/compute_engine/project_id", "acme"),
            ("/google/compute_engine/project_number", "1"),
            ("/google/compute_engine/instance_id", "1"),
        ],
        &[
            ("sub", "12*"),
            ("hd", "example.*"),
            ("email_verified", "true"),
            ("azp", "x.apps.googleusercontent.com"),
            ("/google/compute_engine/zone", "europe-west1-b"),
        ],
    );
    for email in ["*@gmail.com", "*example.com", "alice@*", "*@*"] {
        let found = named("https://accounts.google.com", "StringLike", "jwt:email", email);
        assert_eq!(found, ["broad-trust", "unverified-email"], "{email}");
    }
}

#[test]
fn pipelines_of_workspaces_and_organisations() {
    check_row(
        "https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc",
        &[
            ("sub", "{1-2}:*"),
            ("repositoryUuid", "{1-2}"),
            ("workspaceUuid", "{1-2}"),
            ("deploymentEnvironmentUuid", "{1-2}"),
        ],
        &[("sub", "{1-2*"), ("repositoryUuid", "{1*"), ("branchName", "main")],
    );
    check_row(
        "https://oidc.circleci.com/org/1-2",
        &[
            ("sub", "org/1-2/project/3/*"),
            ("sub", "org/1-2/*"),
            ("oidc.circleci.com/project-id", "3"),
            ("/oidc.circleci.com~1project-id", "3"),
            ("oidc.circleci.com/context-ids", "4"),
        ],
        &[("sub", "org/*"), ("oidc.circleci.com/project-id", "3*"), ("oidc.circleci.com/vcs-ref", "main")],
    );
    check_row(
        "https://agent.buildkite.com",
        &[
            ("sub", "organization:acme:*"),
            ("organization_slug", "acme"),
            ("organization_id", "1"),
            ("pipeline_id", "1"),
            ("cluster_id", "1"),
        ],
        &[("sub", "organization:acme*"), ("pipeline_slug", "shop"), ("build_branch", "main")],
    );
    check_row(
        "https://app.terraform.io",
        &[
            ("sub", "organization:acme:project:*"),
            ("terraform_organization_id", "1"),
            ("terraform_organization_name", "acme"),
            ("terraform_project_id", "1"),
            ("terraform_workspace_id", "1"),
            ("terraform_full_workspace", "organization:acme:*"),
        ],
        &[
            ("sub", "organization:acme*"),
            ("terraform_workspace_name", "prod"),
            ("terraform_run_phase", "apply"),
            ("terraform_full_workspace", "*:workspace:prod"),
        ],
    );
}

#[test]
fn entra_for_all_tenants() {
    for iss in [
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.com/organizations/v2.0",
        "https://login.microsoftonline.com/consumers/v2.0",
        "https://login.microsoftonline.com/{tenantid}/v2.0",
        "https://sts.windows.net/common/",
        "https://sts.windows.net/{tenantid}/",
    ] {
        check_row(
            iss,
            &[("tid", "1-2"), ("oid", "1-2"), ("sub", "x"), ("groups", "1-2"), ("email", "*@example.com")],
            &[("tid", "1*"), ("roles", "admin"), ("preferred_username", "alice@example.com")],
        );
    }
    let personal = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
    check_row(
        personal,
        &[("oid", "1-2"), ("sub", "x"), ("email", "alice@outlook.com")],
        &[("tid", "9188040d-6c67-4c5b-b112-36a304b66dad"), ("roles", "admin")],
    );
    let tenant = "https://login.microsoftonline.com/1fe37984-5987-2564-b4aa-99e587365024/v2.0";
    assert_eq!(named(tenant, "StringEqual", "jwt:roles", "admin"), [""; 0]);
}
