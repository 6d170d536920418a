//! The program `ironlight`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ironlight::cli::main()
}
