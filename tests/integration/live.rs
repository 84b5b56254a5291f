//! What is edited is in force without a restart, whole, and only what is broken is closed.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use faas_iam::transport::admin::pb;

use crate::grpc_client::{connect, snapshot_info};
use crate::objects::{self, SigningKey, grant, policy, role, write_whole};
use crate::stack::{CLIENT_ID, Setup, Stack, eventually, text};
use crate::support::http;
use crate::support::identity_provider::IdentityProvider;
use crate::support::process::{free_port, loopback};

const LIST: &str = "/system/functions?namespace=dev";
const NEW_SNAPSHOT: &str = "a new snapshot is in force";

#[tokio::test]
async fn an_edit_is_in_force_for_tokens_that_were_given_out_before() -> Result<()> {
    let stack = Stack::start(Setup::new(grant("signed-in", "IAM:Review", "*"))).await?;
    let base = policy("lister", "Function:List", "dev:*") + &role("base", "alice", "reviewer");
    stack.write_objects("base.yaml", &(base + &policy("reviewer", "IAM:Review", "*")))?;
    let token = stack.token("alice").await?;
    assert_eq!(stack.get(&token, LIST).await?, 403);

    stack.write_objects("role.yaml", &role("listers", "alice", "lister"))?;
    stack.until_status(&token, LIST, 200).await?;
    fs::remove_file(stack.path("policies/role.yaml"))?;
    stack.until_status(&token, LIST, 403).await?;
    stack.write_objects("role.yaml", &role("listers", "alice", "lister"))?;
    stack.until_status(&token, LIST, 200).await?;

    // The registration: another audience, none, and back.
    stack.write_objects("issuer.yaml", &objects::issuer(&stack.provider.issuer, "another-client"))?;
    stack.until_status(&token, LIST, 401).await?;
    stack.write_objects("issuer.yaml", &objects::issuer(&stack.provider.issuer, CLIENT_ID))?;
    stack.until_status(&token, LIST, 200).await?;
    fs::remove_file(stack.path("policies/issuer.yaml"))?;
    stack.until_status(&token, LIST, 401).await?;
    let answer = stack.exchange(&stack.id_token("alice")?, &[]).await?;
    assert!(answer.status == 400 && answer.text().contains("not registered"), "{}", answer.text());
    stack.write_objects("issuer.yaml", &objects::issuer(&stack.provider.issuer, CLIENT_ID))?;
    stack.until_status(&token, LIST, 200).await?;
    stack.token("alice").await?;
    Ok(())
}

#[tokio::test]
async fn a_burst_of_changes_ends_in_the_last_state_with_few_snapshots() -> Result<()> {
    let stack = Stack::start(Setup::new(grant("alice", "IAM:Review", "*"))).await?;
    let token = stack.token("alice").await?;
    assert_eq!(stack.get(&token, LIST).await?, 403);
    let before = stack.service.process.output().matches(NEW_SNAPSHOT).count();
    for round in 0..200 {
        let granted = if round < 199 { "other:*" } else { "dev:*" };
        let text = policy("changing", "Function:List", granted) + &role("changing", "alice", "changing");
        let text = text.replace("sid: s", &format!("sid: round-{round}"));
        stack.write_objects("changing.yaml", &text)?;
    }
    stack.until_status(&token, LIST, 200).await?;
    let snapshots = stack.service.process.output().matches(NEW_SNAPSHOT).count() - before;
    assert!((1..=40).contains(&snapshots), "{snapshots} snapshots");

    // Equal content has an equal name, and is no new snapshot.
    let admin = format!("http://{}", stack.service.ports.admin);
    let info = snapshot_info(connect(&admin).await?, None).await??;
    let metrics = http::client()?.get(format!("{admin}/metrics")).send().await?.text().await?;
    let series = format!("faas_iam_snapshot_info{{revision=\"{}\"}} 1", info.revision);
    assert!(metrics.contains(&series), "{metrics}");
    Ok(())
}

/// The kubelet writes a new folder and turns the link `..data` to it.
#[tokio::test]
async fn a_mounted_config_map_is_followed_when_it_changes() -> Result<()> {
    let mount = tempfile::tempdir()?;
    let path = |name: &str| mount.path().join(name);
    let publish = |version: &str, text: &str| -> Result<()> {
        fs::create_dir(path(version))?;
        fs::write(path(version).join("objects.yaml"), text)?;
        symlink(version, path("..data_tmp"))?;
        Ok(fs::rename(path("..data_tmp"), path("..data"))?)
    };
    publish("..1", &grant("alice", "Function:List", "dev:*"))?;
    symlink("..data/objects.yaml", path("objects.yaml"))?;
    let policy_flag = Some(format!("--policy-dir={}", mount.path().display()));
    let stack = Stack::start(Setup { policy_flag, ..Setup::new("") }).await?;
    let issuer = objects::issuer(&stack.provider.issuer, CLIENT_ID);
    publish("..2", &(grant("alice", "Function:List", "dev:*") + &issuer))?;
    let token = stack.token("alice").await?;
    assert_eq!(stack.get(&token, LIST).await?, 200);
    publish("..3", &(grant("alice", "Function:List", "other:*") + &issuer))?;
    fs::remove_dir_all(path("..2"))?;
    stack.until_status(&token, LIST, 403).await?;
    publish("..4", &(grant("alice", "Function:List", "dev:*") + &issuer))?;
    fs::remove_dir_all(path("..3"))?;
    stack.until_status(&token, LIST, 200).await
}

#[tokio::test]
async fn without_its_directory_the_service_trusts_nobody_until_it_is_back() -> Result<()> {
    let stack = Stack::start(Setup::new(grant("alice", "Function:List", "dev:*"))).await?;
    let token = stack.token("alice").await?;
    fs::rename(stack.path("policies"), stack.path("away"))?;
    stack.until_status(&token, LIST, 401).await?;
    let admin = connect(&format!("http://{}", stack.service.ports.admin)).await?;
    let info = snapshot_info(admin, None).await??;
    assert!(info.diagnostics.iter().any(|found| found.code == "unreadable-file"), "{:?}", info.diagnostics);
    fs::rename(stack.path("away"), stack.path("policies"))?;
    stack.until_status(&token, LIST, 200).await?;
    // Changes of the directory that came back are noticed as well.
    stack.write_objects("objects.yaml", &grant("alice", "Function:List", "other:*"))?;
    stack.until_status(&token, LIST, 403).await
}

#[tokio::test]
async fn a_half_written_file_closes_what_is_in_it_and_is_reported() -> Result<()> {
    let stack = Stack::start(Setup::new(grant("alice", "Function:List", "dev:*"))).await?;
    stack.write_objects("bob.yaml", &grant("bob", "Function:List", "dev:*"))?;
    let (alice, bob) = (stack.token("alice").await?, stack.token("bob").await?);
    stack.until_status(&bob, LIST, 200).await?;

    let whole = fs::read_to_string(stack.path("policies/bob.yaml"))?;
    let end = whole.find("resource").context("no resource")?;
    let half: String = whole.chars().take(end).collect();
    fs::write(stack.path("policies/bob.yaml"), half)?;
    stack.until_status(&bob, LIST, 403).await?;
    assert_eq!(stack.get(&alice, LIST).await?, 200, "what is in other files stays in force");

    let admin = connect(&format!("http://{}", stack.service.ports.admin)).await?;
    let info = snapshot_info(admin.clone(), None).await??;
    let objects = info.objects.context("no counts")?;
    assert_eq!((objects.jwt_issuers, objects.policies, objects.roles), (1, 1, 1));
    // The Roles of these tests name no issuer, which is a warning of its own.
    let expected = |diagnostic: &&pb::Diagnostic| diagnostic.code != "issuer-not-named";
    let found: Vec<_> = info.diagnostics.iter().filter(expected).collect();
    let [diagnostic] = found.as_slice() else { anyhow::bail!("{:?}", info.diagnostics) };
    assert!(diagnostic.origin.contains("bob.yaml"), "{diagnostic:?}");
    assert_eq!(diagnostic.code, "unreadable-document");

    fs::write(stack.path("policies/bob.yaml"), &whole)?;
    stack.until_status(&bob, LIST, 200).await?;
    let mended = snapshot_info(admin, None).await??;
    assert!(!mended.diagnostics.iter().any(|diagnostic| expected(&diagnostic)), "{:?}", mended.diagnostics);
    assert_ne!(mended.revision, info.revision);
    Ok(())
}

#[tokio::test]
async fn an_unreadable_statement_closes_its_policy_for_those_who_have_it() -> Result<()> {
    let objects = grant("alice", "Function:List", "dev:*") + &grant("bob", "Function:List", "dev:*");
    let stack = Stack::start(Setup::new(objects)).await?;
    let (alice, bob) = (stack.token("alice").await?, stack.token("bob").await?);
    let broken = policy("extra", "Function:Get", "dev:*").replace("effect: Allow", "effect: Alow");
    stack.write_objects("extra.yaml", &(broken + &role("extra", "bob", "extra")))?;
    stack.until_status(&bob, LIST, 403).await?;
    assert_eq!(stack.get(&alice, LIST).await?, 200);
    let admin = connect(&format!("http://{}", stack.service.ports.admin)).await?;
    let info = snapshot_info(admin, None).await??;
    let found = info.diagnostics.iter().find(|d| d.name == "extra").context("no diagnostic")?;
    assert_eq!((found.kind.as_str(), found.field.as_str()), ("Policy", "spec.statement[0].effect"));
    Ok(())
}

#[tokio::test]
async fn an_identity_provider_that_comes_up_later_is_found_without_a_restart() -> Result<()> {
    let stack = Stack::start(Setup::new(grant("alice", "Function:List", "dev:*"))).await?;
    let late = loopback(free_port()?);
    let iss = format!("http://{late}");
    let issuer = objects::issuer(&iss, CLIENT_ID).replace("name: provider", "name: late");
    stack.write_objects("late.yaml", &issuer)?;
    let log = || stack.service.process.output();
    eventually("the service has tried", async || {
        Ok(if log().contains("the issuer's keys: ") { Ok(()) } else { Err(log()) })
    })
    .await?;
    // One broken issuer is nobody else's problem.
    let token = stack.token("alice").await?;
    assert_eq!(stack.get(&token, LIST).await?, 200);

    let provider = IdentityProvider::start_at(late).await?;
    let id_token = provider.id_token("alice", CLIENT_ID, &serde_json::json!({}))?;
    eventually("its token is exchanged", async || {
        let answer = stack.exchange(&id_token, &[]).await?;
        Ok(if answer.status == 200 { Ok(()) } else { Err(answer.text()) })
    })
    .await
}

#[tokio::test]
async fn a_new_signing_key_signs_without_a_restart_while_the_old_one_verifies() -> Result<()> {
    let second = tempfile::NamedTempFile::new()?;
    let old = SigningKey::generate()?;
    fs::write(second.path(), &old.pem)?;
    let flag = format!("--signing-key={}", second.path().display());
    let objects = grant("alice", "Function:List", "dev:*");
    let stack = Stack::start(Setup::with_flags(objects, &[&flag])).await?;
    let before = stack.token("alice").await?;
    let kid = |token: &str| -> Result<String> {
        jsonwebtoken::decode_header(token)?.kid.context("the token names no key")
    };
    let first_kid = kid(&before)?;

    // The old key moves to the second place, then a new one comes first.
    write_whole(second.path(), &stack.key.pem)?;
    write_whole(&stack.path("issuer.key"), &SigningKey::generate()?.pem)?;
    let after = eventually("the new key signs", async || {
        assert_eq!(stack.get(&before, LIST).await?, 200, "the old token fails");
        let token = stack.token("alice").await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(if kid(&token)? == first_kid { Err(first_kid.clone()) } else { Ok(token) })
    })
    .await?;
    assert_eq!(stack.get(&after, LIST).await?, 200);
    let keys = stack.jwks().await?;
    let kids = |keys: &Value| -> Result<Vec<String>> {
        let count = keys["keys"].as_array().map_or(0, Vec::len);
        (0..count).map(|i| Ok(text(keys, &format!("/keys/{i}/kid"))?.to_owned())).collect()
    };
    assert_eq!(kids(&keys)?, [kid(&after)?, first_kid]);

    // A file that is broken changes nothing.
    fs::write(stack.path("issuer.key"), "not a key")?;
    let log = || stack.service.process.output();
    eventually("the service has seen it", async || {
        Ok(if log().contains("what was read before stays in force") { Ok(()) } else { Err(log()) })
    })
    .await?;
    assert_eq!(stack.get(&after, LIST).await?, 200);
    assert_eq!(stack.get(&before, LIST).await?, 200);
    Ok(())
}
