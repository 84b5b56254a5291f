//! `faas-iam crds`: what makes Kubernetes refuse invalid objects.

use std::io::{Write, stdout};

use super::Exit;
use crate::crd::definition;

/// Arguments of `crds`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print ValidatingAdmissionPolicies, which judge the objects whoever defined their kinds, instead
    /// of the CustomResourceDefinitions
    #[arg(long, env = "FAAS_IAM_ADMISSION_POLICY", value_parser = clap::builder::BoolishValueParser::new())]
    admission_policy: bool,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let documents = if self.admission_policy {
            definition::admission_policies()?
        } else {
            definition::definitions()?
        };
        let documents: Vec<_> = documents.into_iter().map(|(_, document)| document).collect();
        stdout().lock().write_all(documents.join("---\n").as_bytes())?;
        Ok(Exit::Success)
    }
}
