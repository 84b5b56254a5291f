//! `faas-iam can-i`: whether an identity may do something, and why.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context as _;

use super::explain::{Explanation, claimed, consider};
use super::question::{action_of, resource_of};
use super::serve::ReadingArgs;
use super::{Exit, JudgingArgs, Output, usage};
use crate::compile::{Bundle, Diagnostic, IssuerKeys, Snapshot, compile_with};
use crate::crd::Defaults;
use crate::decide::authorize::{Settings, may};
use crate::policy::{Action, Context, Resource};
use crate::source::files;
use crate::token::signer::SigningKeys;
use crate::transport::now;

/// Arguments of `can-i`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0 if it is allowed and with 2 if it is denied; a list that may be seen in part \
    only is denied. Function:Invoke is answered as for a function that asks for tokens.\n\nExample:\n  \
    faas-iam can-i --policy-dir policies --claims alice.json Function:Delete dev:checkout"
)]
pub(super) struct Args {
    /// Claims as the identity provider states them, a JSON object; without `aud`, an accepted one is
    /// assumed
    #[arg(long, env = "FAAS_IAM_CLAIMS", value_name = "FILE")]
    claims: PathBuf,
    /// The client's address (request:SourceIp)
    #[arg(long, env = "FAAS_IAM_SOURCE_IP", value_name = "IP")]
    source_ip: Option<IpAddr>,
    #[command(flatten)]
    asked: AskedArgs,
}

/// What is asked, and of which policies.
#[derive(Debug, clap::Args)]
pub(super) struct AskedArgs {
    #[command(flatten)]
    pub(super) policies: PoliciesArgs,
    /// What is to be done, such as Function:Delete
    #[arg(value_name = "ACTION")]
    action: String,
    /// What it is done to: `dev:checkout`, `dev:*` for a namespace, `*:*` for all, `*` for the installation
    #[arg(value_name = "RESOURCE")]
    resource: String,
}

/// Which policies are asked, and how the answer is printed.
#[derive(Debug, clap::Args)]
pub(super) struct PoliciesArgs {
    /// The directory of policies
    #[arg(long, env = "FAAS_IAM_POLICY_DIR", value_name = "DIR")]
    pub(super) policy_dir: PathBuf,
    #[command(flatten)]
    pub(super) reading: ReadingArgs,
    #[command(flatten)]
    judging: JudgingArgs,
    /// How to print the answer
    #[arg(short, long, env = "FAAS_IAM_OUTPUT", value_enum, default_value_t)]
    pub(super) output: Output,
}

/// A question that can be answered.
pub(super) struct Asked {
    pub(super) action: Action,
    pub(super) resource: Resource,
    pub(super) settings: Settings,
}

/// Policies to answer by.
pub(super) struct Answering {
    pub(super) bundle: Bundle,
    pub(super) snapshot: Snapshot,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let Asked { action, resource, settings } = match self.asked.read() {
            Ok(asked) => asked,
            Err(message) => return Ok(usage(&message)),
        };
        let Answering { bundle, snapshot, diagnostics } = self.asked.policies.load(&settings)?;
        let principal = claimed(&self.claims, &bundle)?;
        let context = Context { source_ip: self.source_ip, now: now(), ..Context::default() };
        let roles = consider(&snapshot, &principal, &context);
        let verdict = may(&snapshot, &settings.rules, &principal, (action, resource), &context);
        Explanation { verdict, roles, principal: &principal, diagnostics: &diagnostics }
            .print(self.asked.policies.output)
    }
}

impl AskedArgs {
    /// The question; a message where it is none.
    pub(super) fn read(&self) -> Result<Asked, String> {
        let settings = self.policies.reading.settings()?;
        let action = action_of(&self.action).map_err(|error| format!("ACTION: {error}"))?;
        let resource = resource_of(action, &self.resource).map_err(|error| format!("RESOURCE: {error}"))?;
        Ok(Asked { action, resource, settings })
    }
}

impl PoliciesArgs {
    pub(super) fn load(&self, settings: &Settings) -> anyhow::Result<Answering> {
        let defaults =
            Defaults { function_namespace: settings.rules.default_namespace.clone(), ..Defaults::default() };
        let bundle = files::load(&self.policy_dir, &defaults)
            .with_context(|| format!("--policy-dir {}", self.policy_dir.display()))?;
        // Who signs makes no difference to who may do what.
        let own = SigningKeys::ephemeral()?.issuer("https://faas-iam.invalid");
        let (snapshot, diagnostics) =
            compile_with(&bundle, &IssuerKeys::new(), &own, self.judging.federation());
        Ok(Answering { bundle, snapshot, diagnostics })
    }
}
