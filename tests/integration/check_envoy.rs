//! `check-envoy` against the real Envoy: the shipped configuration is clean, as a file and as the dump
//! of an Envoy that runs it; and each hole in it is found in both, alone.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Write as _, stderr};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use faas_iam::envoy::{Review, review};
use serde_json::{Value, json};

use crate::envoy_mutations::{Mutation, mutations};
use crate::stack::binary;
use crate::support::envoy::{self, Addresses, Envoy};
use crate::support::http;
use crate::support::process::{Process, free_port, loopback};

fn addresses() -> Result<Addresses> {
    Addresses::in_front_of(loopback(free_port()?), loopback(free_port()?), loopback(free_port()?))
}

/// The review of a file.
fn of_file(text: &str) -> Result<Review> {
    Ok(review(&serde_saphyr::from_str::<Value>(text)?)?)
}

/// What an Envoy says that runs a file.
async fn dump(text: &str, addresses: Addresses) -> Result<Value> {
    let files = tempfile::tempdir()?;
    let mut envoy = Envoy::start_with(text, addresses, files.path()).await?;
    let dump =
        http::client()?.get(format!("http://{}/config_dump", addresses.admin)).send().await?.text().await?;
    envoy.process.kill();
    Ok(serde_json::from_str(&dump)?)
}

fn codes(review: &Review) -> BTreeSet<&'static str> {
    review.findings.iter().map(|finding| finding.code).collect()
}

#[tokio::test]
async fn the_shipped_configuration_is_clean_as_a_file_and_as_a_dump() -> Result<()> {
    let shipped = fs::read_to_string(envoy::root().join("envoy/envoy.yaml"))?;
    let file = of_file(&shipped)?;
    ensure!(file.findings.is_empty(), "{:#?}", file.findings);
    let addresses = addresses()?;
    let dump = review(&dump(&envoy::shipped(&addresses)?, addresses).await?)?;
    ensure!(dump.findings.is_empty(), "{:#?}", dump.findings);
    ensure!((file.listeners, file.routes) == (dump.listeners, dump.routes) && file.routes == 10, "{dump:?}");
    Ok(())
}

async fn is_found(mutation: Mutation) -> Result<()> {
    let addresses = addresses()?;
    let text = mutation.apply(&envoy::shipped(&addresses)?)?;
    let file = of_file(&text)?;
    let expected = BTreeSet::from([mutation.code]);
    ensure!(codes(&file) == expected, "in the file: {:#?}", file.findings);
    let at = |finding: &faas_iam::envoy::Finding| finding.path.contains(mutation.path);
    ensure!(file.findings.iter().all(at), "another place than {}: {:#?}", mutation.path, file.findings);
    let dump = review(&dump(&text, addresses).await?)?;
    ensure!(codes(&dump) == expected, "in the dump: {:#?}", dump.findings);
    ensure!(
        dump.findings.len() == file.findings.len(),
        "{:#?} in the dump, {:#?}",
        dump.findings,
        file.findings
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hole_is_found_alone_in_the_file_and_in_the_dump() -> Result<()> {
    let mut wrong = Vec::new();
    let mutations = mutations();
    let count = mutations.len();
    for mutation in mutations {
        let name = mutation.name;
        if let Err(error) = is_found(mutation).await {
            wrong.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    writeln!(
        stderr(),
        "check-envoy: {count} holes, each found alone in the file and in a real Envoy's dump"
    )?;
    Ok(())
}

/// Listener and routes from files that Envoy follows, as a control plane would give them.
#[tokio::test]
async fn what_a_control_plane_gives_is_seen_in_the_dump_alone() -> Result<()> {
    let (addresses, files) = (addresses()?, tempfile::tempdir()?);
    let mut config: Value = serde_saphyr::from_str(&envoy::shipped(&addresses)?)?;
    let mut listener = config["static_resources"]["listeners"][0].take();
    let manager = listener.pointer_mut("/filter_chains/0/filters/0/typed_config").context("no manager")?;
    let mut routes = manager["route_config"].take();
    let from = |name: &str| json!({"path_config_source": {"path": files.path().join(name)}, "resource_api_version": "V3"});
    manager["rds"] = json!({"route_config_name": "openfaas", "config_source": from("rds.json")});
    manager.as_object_mut().context("no map")?.remove("route_config");
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    routes["@type"] = json!("type.googleapis.com/envoy.config.route.v3.RouteConfiguration");
    config["static_resources"].as_object_mut().context("no map")?.remove("listeners");
    config["dynamic_resources"] = json!({"lds_config": from("lds.json")});
    config["node"] = json!({"id": "test", "cluster": "test"});
    for hole in [false, true] {
        if hole {
            routes["virtual_hosts"][0]["routes"][3]["route"]["prefix_rewrite"] = json!("/system/");
        }
        fs::write(files.path().join("rds.json"), json!({"resources": [routes]}).to_string())?;
        fs::write(files.path().join("lds.json"), json!({"resources": [listener]}).to_string())?;
        let file = review(&config)?;
        ensure!(codes(&file) == BTreeSet::from(["no-ext-authz", "not-visible"]), "{:#?}", file.findings);
        let dump = review(&dump(&config.to_string(), addresses).await?)?;
        let expected = if hole { BTreeSet::from(["rewritten-path"]) } else { BTreeSet::new() };
        ensure!(codes(&dump) == expected && dump.routes == 10, "{:#?}", dump.findings);
    }
    Ok(())
}

/// Runs the command; its exit code and all that it wrote.
fn run(args: &[&str], files: &std::path::Path) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(binary());
    command.arg("check-envoy").args(args).current_dir(files).env_clear();
    let logs = tempfile::tempdir()?;
    let mut process = Process::start("faas-iam", command, logs.path())?;
    ensure!(process.wait(std::time::Duration::from_secs(60)), "it does not end");
    Ok((process.exited().and_then(|status| status.code()), process.output()))
}

#[test]
fn the_command_says_what_is_wrong_and_ends_with_the_code_for_it() -> Result<()> {
    let files = tempfile::tempdir()?;
    let write = |name: &str, text: &[u8]| fs::write(files.path().join(name), text);
    let shipped = fs::read_to_string(envoy::root().join("envoy/envoy.yaml"))?;
    write("good.yaml", shipped.as_bytes())?;
    write("open.yaml", shipped.replace("failure_mode_allow: false", "failure_mode_allow: yes").as_bytes())?;
    write(
        "warned.yaml",
        shipped.replace("validate_mutations: true", "validate_mutations: false").as_bytes(),
    )?;
    write("text", b"just a text")?;
    write("broken.yaml", b"a: 1\nstatic_resources: [\n")?;
    write("twice.yaml", b"static_resources: {}\nstatic_resources: {}\n")?;
    write("broken.json", b"{\"configs\": [")?;
    write("empty", b"\n")?;
    write("latin1", b"a: \xe9\n")?;
    write("policy.yaml", b"kind: Policy\n")?;
    write("dump.json", b"{\"configs\": []}")?;
    let deep = "[".repeat(100_000);
    write("deep.json", format!("{{\"configs\": {deep}").as_bytes())?;
    write("deep.yaml", format!("static_resources: {deep}").as_bytes())?;
    fs::File::create(files.path().join("huge"))?.set_len(300 << 20)?;
    for (file, code, said) in [
        ("good.yaml", 0, "listeners: 1, routes past the decision: 10, errors: 0, warnings: 0"),
        ("warned.yaml", 0, "warning[mutations-not-validated]"),
        ("open.yaml", 3, "http_filters[0].typed_config.failure_mode_allow: error[failure-mode-allow] "),
        ("open.yaml", 3, "set it to false"),
        ("missing", 1, "faas-iam: missing: No such file"),
        (".", 1, "faas-iam: .: Is a directory"),
        ("text", 1, "text: no Envoy configuration: it holds neither `static_resources`"),
        ("policy.yaml", 1, "policy.yaml: no Envoy configuration: "),
        ("dump.json", 1, "`configs` holds neither a bootstrap nor listeners"),
        ("broken.yaml", 1, "broken.yaml: line "),
        ("twice.yaml", 1, "duplicate mapping key: static_resources"),
        ("broken.json", 1, "broken.json: cannot be parsed as JSON: "),
        ("deep.json", 1, "recursion limit"),
        ("deep.yaml", 1, "deep.yaml: line 1: "),
        ("empty", 1, "empty: empty"),
        ("latin1", 1, "latin1: not UTF-8"),
        ("huge", 1, "huge: longer than 256 MiB"),
    ] {
        let (ended, output) = run(&[file], files.path())?;
        ensure!(ended == Some(code) && output.contains(said), "{file}: {ended:?} {output}");
        ensure!(!output.contains("panicked"), "{output}");
    }
    let (ended, output) = run(&["-o", "json", "open.yaml"], files.path())?;
    let told: Value = serde_json::from_str(&output)?;
    ensure!(
        ended == Some(3) && told["errors"] == 1 && told["findings"][0]["code"] == "failure-mode-allow",
        "{told}"
    );
    ensure!(run(&[], files.path())?.0 == Some(64));
    Ok(())
}
