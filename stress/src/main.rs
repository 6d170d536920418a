//! `ironlight-stress`: drives the parts of Ironlight hard and says what happened.

use std::process::ExitCode;

use ironlight_stress::cli;
use ironlight_stress::measure::MemoryProbe;
use ironlight_stress::scenario::Registry;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

struct Allocated;

impl MemoryProbe for Allocated {
    fn current(&self) -> u64 {
        ALLOCATED.current_usage() as u64
    }

    fn peak(&self) -> u64 {
        ALLOCATED.peak_usage() as u64
    }

    fn reset_peak(&self) {
        ALLOCATED.reset_peak_usage();
    }
}

fn main() -> ExitCode {
    cli::main(&Registry::new(), &Allocated)
}
