//! Requests, end to end: a generator writes bytes to the real Envoy with its shipped configuration and
//! the real service behind it, once for each provider; behind all of them stand the gateway's own
//! handlers and faas-provider's own server, which write down what a provider would act on (`go/rig`).
//!
//! What it acts on must be what was authorized, and what the identity may do. `RIG_REQUESTS` and
//! `RIG_SEED` set another number of requests, and others.
#![expect(clippy::print_stdout, reason = "the report is for a person")]

mod http1;
mod http2;
mod identities;
mod judge;
mod requests;
mod send;
mod stage;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::oracle::{ATTACKS, CLIENTS, corpus, number};
use crate::support::report::Report;
use crate::toolchain::Built;
use identities::SUBJECTS;
use judge::{Judge, Outcome, Sender};
use requests::{Shot, Shots, Wire};
use send::Source;
use stage::{PROFILES, Rig};

/// The name in the report.
pub(crate) const PART: &str = "requests end to end: what we authorize and what a provider does";

const REQUESTS: u64 = 50_000;
const SEED: u64 = 1;

/// The least share of the generated requests that is to be acted on: one in this many.
const ONE_IN: usize = 20;

/// Faults that are printed.
const SHOWN: usize = 20;

/// Every action that a provider can be seen to do.
const ACTIONS: usize = 18;

/// Runs the part.
pub(crate) async fn run(report: &mut Report, built: &Built) {
    report.part(PART);
    let start = Instant::now();
    let mut rig = match Rig::start(built).await {
        Ok(rig) => rig,
        Err(why) => return report.fail("everything starts", &why),
    };
    match check(report, &mut rig).await {
        Ok(()) => println!("  {:.1} s", start.elapsed().as_secs_f64()),
        Err(why) => report.fail("the requests are compared", &why),
    }
    if report.failed() {
        rig.files.disable_cleanup(true);
        println!("  logs are in {}", rig.files.path().display());
    }
}

async fn check(report: &mut Report, rig: &mut Rig) -> Result<()> {
    let (count, seed) = (number("RIG_REQUESTS", REQUESTS)?, number("RIG_SEED", SEED)?);
    let named = named()?;
    let total = named.len() + usize::try_from(count)?;
    let source = || Source::new(named.clone(), Shots::new(seed, named.len()), total);
    println!("  {} named requests, and {count} of seed {seed}", named.len());
    let statuses = send::all(rig, source()).await?;
    rig.end()?;

    let mut senders = Vec::with_capacity(total);
    let mut again = source();
    while let Some(shot) = again.shot() {
        senders.push(Sender { profile: shot.profile, subject: shot.subject });
    }
    let judge = Judge::new(rig, senders)?;
    let records = rig.files.path().join("records");
    let outcomes = judge.judge(&records)?;
    print(&judge, &outcomes, &statuses);
    print_faults(&outcomes, source());

    let faults: usize = outcomes.iter().map(|outcome| outcome.faults.len()).sum();
    let acted: usize = outcomes.iter().map(|outcome| outcome.acted.len()).sum();
    let failures = judge.logged.values().filter(|logged| logged.reason == "internal-error").count();
    let few = || outcomes.iter().find(|outcome| outcome.actions.len() < ACTIONS);
    let condition = |holds: bool, why: String| -> Result<()> {
        ensure!(holds, "{why}");
        Ok(())
    };
    report.count(
        "what reached OpenFaaS is what was authorized",
        condition(faults == 0, format!("{faults} faults")),
    );
    report.count(
        "another act, credential or header would have been a fault",
        condition(judge.sees_faults(&records)?, "no".into()),
    );
    report.count("the service failed on none", condition(failures == 0, format!("{failures} failures")));
    report.count("enough was acted on", condition(acted * ONE_IN >= total, format!("{acted} of {total}")));
    report.count(
        "and by every action",
        condition(count < REQUESTS || few().is_none(), format!("{:?}", few().map(|it| &it.actions))),
    );
    Ok(())
}

/// The corpus, by every caller, in every protocol and to every profile, and every trick.
fn named() -> Result<Vec<Shot>> {
    let mut shots = Vec::new();
    for sent in corpus(CLIENTS)?.into_iter().chain(corpus(ATTACKS)?) {
        for profile in 0..PROFILES.len() {
            for subject in SUBJECTS {
                for wire in [Wire::Http1, Wire::Chunked, Wire::Http2] {
                    shots.push(Shot::plain(shots.len(), profile, subject, sent.clone(), wire));
                }
            }
        }
    }
    shots.extend(Shot::tricks(shots.len()));
    Ok(shots)
}

fn print(judge: &Judge, outcomes: &[Outcome], statuses: &[u16]) {
    let mut rows: BTreeMap<(u8, String), [usize; 3]> = BTreeMap::new();
    for (profile, outcome) in outcomes.iter().enumerate() {
        let mut add = |order: u8, row: &str, count: usize| {
            if let Some(cell) = rows.entry((order, row.to_owned())).or_default().get_mut(profile) {
                *cell += count;
            }
        };
        for number in judge.generated(profile) {
            add(0, "sent", 1);
            let logged = judge.logged.get(&number.to_string());
            match logged.map(|logged| (logged.decision.as_deref(), logged)) {
                Some((Some("allow"), _)) => add(4, "allowed", 1),
                Some((Some(_), logged)) => {
                    add(2, "refused by the service", 1);
                    add(3, &format!("  {}", logged.reason), 1);
                }
                Some((None, logged)) => {
                    add(1, "answered by Envoy", 1);
                    add(1, &format!("answered by Envoy: {}", logged.details), 1);
                }
                None => {
                    add(1, "answered by Envoy", 1);
                    let status = statuses.get(number).copied().unwrap_or_default();
                    add(1, &format!("answered by Envoy: {status}, not logged"), 1);
                }
            }
        }
        for (order, row) in [(5, "gateway"), (6, "provider"), (7, "function"), (8, "worker")] {
            add(order, &format!("reached the {row}"), outcome.at.get(row).map_or(0, |it| it.len()));
        }
        add(9, "acted on", outcome.acted.len());
        for (action, count) in &outcome.actions {
            add(10, &format!("  {action}"), *count);
        }
        add(11, "disagreements", outcome.faults.len());
    }
    println!("  {:<60} {:>10} {:>10} {:>10}", "", "any", "faas-netes", "faasd");
    for ((_, row), [any, faas_netes, faasd]) in &rows {
        println!("  {row:<60} {any:>10} {faas_netes:>10} {faasd:>10}");
    }
}

/// Prints the first faults with the requests that led to them.
fn print_faults(outcomes: &[Outcome], mut source: Source) {
    let faults: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.faults).take(SHOWN).collect();
    let mut shots = BTreeMap::new();
    while let Some(shot) = source.shot() {
        if faults.iter().any(|(number, _)| *number == Some(shot.number)) {
            shots.insert(shot.number, shot);
        }
    }
    for (number, fault) in faults {
        println!("    {fault}");
        if let Some(shot) = number.and_then(|number| shots.get(&number)) {
            println!("      {}", shot.bytes(&requests::Tokens::default()).escape_ascii());
            println!("      {shot:?}");
        }
    }
}
