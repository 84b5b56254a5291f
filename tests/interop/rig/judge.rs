//! What reached OpenFaaS, against what was authorized and what the identity may do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::identities::may;
use super::requests::{CALLBACK, Tokens};
use super::stage::{PASSWORD, PROFILES, Rig, USER};

/// As much of a credential as is written down.
const SUFFIX: usize = 16;

/// What reached one part of OpenFaaS.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Record {
    at: String,
    id: String,
    method: String,
    target: String,
    #[serde(default)]
    authorization: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    acts: Vec<String>,
}

/// What Envoy logged of a request.
#[derive(Debug, Default)]
pub(super) struct Logged {
    pub(super) decision: Option<String>,
    pub(super) reason: String,
    pub(super) details: String,
    /// `ACTION RESOURCE`, each.
    authorized: Vec<String>,
}

/// Who sent a request, and where to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) profile: usize,
    pub(super) subject: &'static str,
}

/// Everything that is known after a run.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// By the request's number.
    senders: Vec<Sender>,
    tokens: HashMap<(usize, &'static str), Tokens>,
    pub(super) logged: HashMap<String, Logged>,
    gateway_authorization: String,
}

/// What came of one profile's requests.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) at: BTreeMap<String, BTreeSet<usize>>,
    pub(super) acted: BTreeSet<usize>,
    pub(super) actions: BTreeMap<String, usize>,
    /// The request's number, where it has one, and what is wrong.
    pub(super) faults: Vec<(Option<usize>, String)>,
}

// === impl Judge ===

impl Judge {
    pub(super) fn new(rig: &Rig, senders: Vec<Sender>) -> Result<Self> {
        let mut judge = Self {
            senders,
            gateway_authorization: ending(&STANDARD.encode(format!("{USER}:{PASSWORD}"))),
            ..Self::default()
        };
        for (profile, front) in rig.fronts.iter().enumerate() {
            for (subject, tokens) in super::identities::SUBJECTS.into_iter().zip(&front.tokens) {
                judge.tokens.insert((profile, subject), tokens.clone());
            }
            judge.read_log(&rig.log(profile))?;
        }
        Ok(judge)
    }

    fn read_log(&mut self, path: &Path) -> Result<()> {
        for line in BufReader::new(File::open(path)?).split(b'\n') {
            // Envoy's warnings are among the lines.
            let Ok(entry) = serde_json::from_slice::<Value>(&line?) else { continue };
            let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
            let Some(id) = text("rig") else { continue };
            let action = text("action").unwrap_or_default();
            let resources = match entry.get("resource") {
                Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
                Some(Value::Array(list)) => list.clone(),
                _ => Vec::new(),
            };
            let authorized = resources.iter().filter_map(Value::as_str).map(|it| format!("{action} {it}"));
            let logged = Logged {
                decision: text("decision"),
                reason: text("reason").unwrap_or_default(),
                details: text("details").unwrap_or_default(),
                authorized: authorized.collect(),
            };
            // Of several with one id, none may be an allow that another hides.
            if self.logged.get(&id).is_none_or(|known| known.decision.as_deref() == Some("allow")) {
                self.logged.insert(id, logged);
            }
        }
        Ok(())
    }

    pub(super) fn sender(&self, id: &str) -> Option<(usize, Sender)> {
        let number = id.parse().ok()?;
        self.senders.get(number).map(|sender| (number, *sender))
    }

    pub(super) fn generated(&self, profile: usize) -> impl Iterator<Item = usize> {
        let senders = self.senders.iter().enumerate();
        senders.filter(move |(_, sender)| sender.profile == profile).map(|(number, _)| number)
    }

    /// Judges every record of a file; the outcomes of the profiles, in their order.
    pub(super) fn judge(&self, records: &Path) -> Result<Vec<Outcome>> {
        let mut outcomes: Vec<Outcome> = PROFILES.iter().map(|_| Outcome::default()).collect();
        for line in BufReader::new(File::open(records)?).lines() {
            let line = line?;
            let record: Record = serde_json::from_str(&line).with_context(|| line.clone())?;
            let sender = self.sender(&record.id);
            let profile = sender.map_or(0, |(_, sender)| sender.profile);
            let outcome = outcomes.get_mut(profile).context("no such profile")?;
            let number = sender.map(|(number, _)| number);
            if let Some(number) = number {
                outcome.at.entry(record.at.clone()).or_default().insert(number);
                if !record.acts.is_empty() && outcome.acted.insert(number) {
                    let action = record.acts.first().and_then(|act| act.split(' ').nth(1));
                    *outcome.actions.entry(action.unwrap_or_default().to_owned()).or_default() += 1;
                }
            }
            outcome.faults.extend(self.faults(&record).into_iter().map(|fault| (number, fault)));
        }
        Ok(outcomes)
    }

    /// Whether it would be a fault if an act were on another object, the credentials were another's, or
    /// a client's header for the proxy had come through.
    pub(super) fn sees_faults(&self, records: &Path) -> Result<bool> {
        let lines = BufReader::new(File::open(records)?).lines();
        let mut seen = 0;
        for line in lines.take(10_000) {
            let record: Record = serde_json::from_str(&line?)?;
            let letters = self.sender(&record.id).and_then(|(_, sender)| PROFILES.get(sender.profile));
            let counts = |act: &String| {
                letters.is_some_and(|(_, letters)| act.chars().next().is_some_and(|it| letters.contains(it)))
            };
            if !record.acts.iter().any(counts) {
                continue;
            }
            let mut others = [record.clone(), record.clone(), record.clone()];
            let [act, credentials, header] = &mut others;
            act.acts = act.acts.iter().map(|act| format!("{act}x")).collect();
            credentials.authorization = "another".to_owned();
            header.headers.insert("x-envoy-original-path".to_owned(), "/".to_owned());
            if others.iter().any(|other| self.faults(other).is_empty()) {
                return Ok(false);
            }
            seen += 1;
        }
        Ok(seen > 0)
    }

    fn faults(&self, record: &Record) -> Vec<String> {
        let what = format!("{} {} {}", record.at, record.method, record.target);
        let logged = self.logged.get(&record.id);
        let allowed = logged.filter(|logged| logged.decision.as_deref() == Some("allow"));
        let (Some(logged), Some((_, sender))) = (allowed, self.sender(&record.id)) else {
            return vec![format!("{what}: {:?} was not allowed: {logged:?}", record.id)];
        };
        let letters = PROFILES.get(sender.profile).map_or("", |(_, letters)| letters);
        let mut faults = Vec::new();
        for act in &record.acts {
            let (letter, act) = act.split_once(' ').unwrap_or_default();
            let (action, resource) = act.split_once(' ').unwrap_or_default();
            if !letters.contains(letter) {
                continue;
            }
            if !logged.authorized.iter().any(|authorized| authorized == act) {
                faults.push(format!("{what}: it does {act}, and {:?} was authorized", logged.authorized));
            }
            if !may(sender.subject, action, resource) {
                faults.push(format!("{what}: {} may not do {act}", sender.subject));
            }
        }
        faults.extend(self.header_faults(record, sender).into_iter().map(|fault| format!("{what}: {fault}")));
        faults
    }

    fn header_faults(&self, record: &Record, sender: Sender) -> Vec<String> {
        let mut faults = Vec::new();
        let function_token =
            self.tokens.get(&(sender.profile, sender.subject)).map(|it| ending(&it.function));
        let path = record.target.split('?').next().unwrap_or_default();
        let api = record.at != "function" && !path.starts_with("/function/") && record.at != "worker";
        let gateway = self.gateway_authorization.as_str();
        let expected = match path {
            // The gateway asks for nothing here, and adds its own unless it streams.
            "/healthz" if record.at == "gateway" || record.authorization.is_empty() => Some(""),
            _ if api && !path.starts_with("/async-function/") => Some(gateway),
            _ => function_token.as_deref(),
        };
        if Some(record.authorization.as_str()) != expected {
            faults.push(format!("authorization ends with {:?}", record.authorization));
        }
        for (name, value) in &record.headers {
            let ours = name.starts_with("x-faas-iam-") || name.starts_with("x-envoy-");
            if ours && (name != "x-envoy-external-address" || value != "127.0.0.1") {
                faults.push(format!("{name}: {value}"));
            }
        }
        let calls_back = record.at == "worker" || record.target.starts_with("/async-function");
        let elsewhere = |url: &&String| !url.starts_with(CALLBACK) || url.contains(['@', ' ', ',']);
        if let Some(url) = record.headers.get("x-callback-url").filter(|_| calls_back).filter(elsewhere) {
            faults.push(format!("calls back {url}"));
        }
        faults
    }
}

fn ending(text: &str) -> String {
    text.chars().skip(text.chars().count().saturating_sub(SUFFIX)).collect()
}
