//! The program `ironlight`.

use std::process::ExitCode;

/// For a process that runs for months: see the reason in the workspace's `Cargo.toml`.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ironlight::cli::main()
}
