//! Certificates of a private authority, and the service account's token, over real TLS.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tempfile::{NamedTempFile, TempDir};

use super::super::service_account::CLUSTER_ISSUER;
use super::super::test_provider::Authority;
use super::*;

/// A mounted service account whose token is of this issuer, and that token.
fn service_account(iss: &str, ca_pem: &str) -> (TempDir, String) {
    let claims = json!({
        "iss": iss, "sub": "system:serviceaccount:openfaas:faas-iam", "aud": [iss], "exp": 4_000_000_000_u64
    });
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.AAAA", part(json!({"alg": "RS256", "kid": "k"})), part(claims));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), format!("{token}\n")).unwrap();
    std::fs::write(directory.path().join("ca.crt"), ca_pem).unwrap();
    (directory, token)
}

fn mounted(directory: &TempDir) -> FetchConfig {
    let account = ServiceAccount { directory: directory.path().to_owned() };
    FetchConfig { service_account: Some(account), timeout: Duration::from_secs(5), ..quick() }
}

/// A file of `--ca-bundle`.
fn bundle(pem: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, pem).unwrap();
    file
}

#[tokio::test]
async fn a_private_authority_is_trusted_if_its_certificate_is_given() {
    let authority = Authority::new();
    let stub = Stub::start_tls(keys("a"), &authority).await;
    let bed = start(quick(), vec![stub.wanted()]);
    bed.until(|bed| bed.error().contains("certificate")).await;
    assert_eq!((stub.counts(), bed.published().len()), ((0, 0), 0));

    let file = bundle(&(Authority::new().pem + &authority.pem));
    let config = FetchConfig { ca_bundle: Some(file.path().to_owned()), ..FetchConfig::default() };
    let bed = start(config, vec![stub.wanted()]);
    bed.until(|bed| bed.published() == [some(&stub, "a")]).await;
    assert_eq!(stub.authorizations(), [None, None]);
}

#[tokio::test]
async fn another_bundle_is_trusted_without_a_restart_and_a_broken_one_changes_nothing() {
    let (old, new) = (Authority::new(), Authority::new());
    let (first, second) = (Stub::start_tls(keys("a"), &old).await, Stub::start_tls(keys("b"), &new).await);
    let file = bundle(&old.pem);
    let config = FetchConfig {
        ca_bundle: Some(file.path().to_owned()),
        timeout: Duration::from_secs(5),
        refresh: Duration::from_millis(50),
        ..quick()
    };
    let bed = start(config, vec![first.wanted(), second.wanted()]);
    bed.until(|bed| bed.published() == [some(&first, "a")]).await;
    for broken in ["", "nonsense"] {
        std::fs::write(&file, broken).unwrap();
        let before = first.counts().1;
        bed.until(|_| first.counts().1 > before + 2).await;
    }
    std::fs::write(&file, &new.pem).unwrap();
    bed.until(|bed| bed.published().contains(&some(&second, "b"))).await;
    let refused = |bed: &Bed| {
        let status = bed.keys.status().into_iter().find(|status| status.iss == first.url).unwrap();
        status.last_error.is_some_and(|error| error.contains("certificate"))
    };
    bed.until(refused).await;
}

#[tokio::test]
async fn the_clusters_issuer_is_asked_with_the_service_account_and_nobody_else_is() {
    let (cluster_authority, other_authority) = (Authority::new(), Authority::new());
    let cluster = Stub::start_tls(keys("cluster"), &cluster_authority).await;
    let same_authority = Stub::start_tls(keys("same"), &cluster_authority).await;
    let other = Stub::start_tls(keys("other"), &other_authority).await;
    let plain = Stub::start(keys("plain")).await;
    let (directory, token) = service_account(&cluster.url, &cluster_authority.pem);
    let file = bundle(&(other_authority.pem + &cluster_authority.pem));
    let config = FetchConfig { ca_bundle: Some(file.path().to_owned()), ..mounted(&directory) };
    let all = [&cluster, &same_authority, &other, &plain];
    let bed = start(config, all.iter().map(|stub| stub.wanted()).collect());
    bed.until(|bed| bed.published().len() == 4).await;
    let bearer = Some(format!("Bearer {token}"));
    assert_eq!(cluster.authorizations(), [bearer.clone(), bearer]);
    for stub in [same_authority, other, plain] {
        assert_eq!(stub.authorizations(), [None, None], "{}", stub.url);
    }
}

#[tokio::test]
async fn the_clusters_authority_counts_for_the_cluster_alone_and_is_read_anew() {
    let authority = Authority::new();
    let stub = Stub::start_tls(keys("a"), &authority).await;
    let (directory, _) = service_account("https://elsewhere.invalid", &authority.pem);
    let bed = start(mounted(&directory), vec![stub.wanted()]);
    bed.until(|bed| bed.error().contains("certificate")).await;
    assert_eq!(stub.counts(), (0, 0), "another issuer gains no trust by it");
    drop(bed);

    let (directory, token) = service_account(&stub.url, &Authority::new().pem);
    let bed = start(mounted(&directory), vec![stub.wanted()]);
    bed.until(|bed| bed.error().contains("certificate")).await;
    assert_eq!(stub.counts(), (0, 0));
    std::fs::write(directory.path().join("ca.crt"), &authority.pem).unwrap();
    bed.until(|bed| !bed.published().is_empty()).await;
    assert!(stub.authorizations().contains(&Some(format!("Bearer {token}"))));
}

#[tokio::test]
async fn an_issuer_that_the_cluster_does_not_vouch_for_is_asked_without_the_token() {
    // As with the large providers of clusters: the issuer is public.
    let public = Authority::new();
    let stub = Stub::start_tls(keys("a"), &public).await;
    let (directory, _) = service_account(&stub.url, &Authority::new().pem);
    let file = bundle(&public.pem);
    let config = FetchConfig { ca_bundle: Some(file.path().to_owned()), ..mounted(&directory) };
    let bed = start(config, vec![stub.wanted()]);
    bed.until(|bed| bed.published() == [some(&stub, "a")]).await;
    assert_eq!(stub.authorizations(), [None, None]);
}

#[tokio::test]
async fn the_token_never_travels_in_the_clear() {
    let stub = Stub::start(keys("a")).await;
    let (directory, _) = service_account(&stub.url, &Authority::new().pem);
    let bed = start(mounted(&directory), vec![stub.wanted()]);
    bed.until(|bed| !bed.error().is_empty()).await;
    assert_eq!(stub.counts(), (0, 0));
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let stub = Stub::start(keys("a")).await;
    let (directory, _) = service_account(&stub.url, "nonsense");
    let bed = start(mounted(&directory), vec![stub.wanted()]);
    bed.until(|bed| bed.error().contains("ca.crt: holds no certificate")).await;
    std::fs::remove_file(directory.path().join("token")).unwrap();
    std::fs::create_dir(directory.path().join("token")).unwrap();
    bed.until(|bed| bed.error().contains("the service account's token: ")).await;
    // Nothing mounted: an issuer like any other.
    std::fs::remove_dir(directory.path().join("token")).unwrap();
    bed.until(|bed| bed.published() == [some(&stub, "a")]).await;
}

#[tokio::test]
async fn the_usual_name_of_a_clusters_issuer_is_known() {
    let (directory, token) = service_account("https://other.invalid", "pem");
    let account = ServiceAccount { directory: directory.path().to_owned() };
    let found = account.credentials_for(CLUSTER_ISSUER).await.unwrap();
    assert_eq!(found, Some((token, b"pem".to_vec())));
    assert!(account.credentials_for("https://other.invalid").await.unwrap().is_some());
    for iss in ["https://kubernetes.default.svc.cluster.local/", "https://idp", ""] {
        assert_eq!(account.credentials_for(iss).await.unwrap(), None, "{iss}");
    }
    std::fs::remove_file(directory.path().join("ca.crt")).unwrap();
    assert_eq!(account.credentials_for(CLUSTER_ISSUER).await.unwrap(), None);
}
