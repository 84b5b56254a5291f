//! The command line.

mod can_i;
mod check_envoy;
mod crds;
mod edge;
mod explain;
mod permissions;
mod question;
mod serve;
mod test;
mod validate;
mod who_can;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::compile::Federation;

/// Identity and access management for OpenFaaS.
#[derive(Debug, Parser)]
#[command(name = "faas-iam", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer Envoy's authorization checks and exchange tokens
    Serve(Box<serve::Args>),
    /// Say how a request would be decided, and why
    Explain(Box<explain::Args>),
    /// Say whether an identity may do something
    CanI(Box<can_i::Args>),
    /// Name the Roles by which something may be done, and what they ask of an identity
    WhoCan(Box<who_can::Args>),
    /// Say what an identity may do in each namespace
    Permissions(Box<permissions::Args>),
    /// Check policies before they are in force
    Validate(validate::Args),
    /// Decide the cases of policy tests
    Test(test::Args),
    /// Print what makes Kubernetes refuse invalid policies
    Crds(crds::Args),
    /// Name the settings of an Envoy that would open a hole
    CheckEnvoy(check_envoy::Args),
}

/// Arguments that say how objects are judged.
#[derive(Debug, clap::Args)]
struct JudgingArgs {
    /// Close Roles that name no issuer, or trust one that strangers have tokens of without saying
    /// whose they mean
    #[arg(long, env = "FAAS_IAM_STRICT_FEDERATION", value_parser = clap::builder::BoolishValueParser::new())]
    strict_federation: bool,
}

impl JudgingArgs {
    const fn federation(&self) -> Federation {
        if self.strict_federation { Federation::Strict } else { Federation::Lenient }
    }
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Success, or allowed.
    Success = 0,
    /// `test`: a case fails.
    Failure = 1,
    /// `explain`, `can-i`: denied. `who-can`: nobody. `permissions`: nothing.
    Denied = 2,
    /// `validate`: an object is invalid. `test`: objects or tests cannot be read. `check-envoy`: a setting opens a hole.
    Invalid = 3,
    /// The command line is wrong (`EX_USAGE` of sysexits.h).
    Usage = 64,
}

/// Runs the command line.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let _closed = error.print();
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            return ExitCode::from(exit as u8);
        }
    };
    let result = match args.command {
        Command::Serve(args) => args.run(),
        Command::Explain(args) => args.run(),
        Command::CanI(args) => args.run(),
        Command::WhoCan(args) => args.run(),
        Command::Permissions(args) => args.run(),
        Command::Validate(args) => args.run(),
        Command::Test(args) => args.run(),
        Command::Crds(args) => args.run(),
        Command::CheckEnvoy(args) => args.run(),
    };
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place that tells why a command failed")]
fn report(error: &anyhow::Error) {
    eprintln!("faas-iam: {error:#}");
}

/// Prints a usage error that shows only once arguments are put together.
#[expect(clippy::print_stderr, reason = "as clap does for its own errors")]
fn usage(message: &str) -> Exit {
    eprintln!("error: {message}\n\nFor more information, try '--help'.");
    Exit::Usage
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// One line, whatever tests and objects hold: a terminal obeys control characters.
fn one_line(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_every_flag_has_its_variable() {
        let mut command = Args::command();
        command.build();
        command.clone().debug_assert();
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            for flag in command.get_opts().filter_map(|arg| Some((arg.get_long()?, arg.get_env()))) {
                let expected = format!("FAAS_IAM_{}", flag.0.replace('-', "_").to_uppercase());
                assert_eq!(flag.1, Some(expected.as_ref()), "{} --{}", command.get_name(), flag.0);
            }
        }
    }
}
