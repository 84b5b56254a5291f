//! The `faas-iam` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    faas_iam::cli::run(std::env::args_os())
}
