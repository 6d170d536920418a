//! `ironlight-stress`: drives the parts of Ironlight hard and says what happened.

use std::process::ExitCode;

use ironlight_stress::cli;
use ironlight_stress::scenario::Registry;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    cli::main(Registry::new(), &ALLOCATED)
}
