//! `ironlight-stress`: drives the parts of Ironlight hard and says what happened.

use std::process::ExitCode;

use cap::Cap;
use ironlight_stress::cli;
use ironlight_stress::measure::Counts;
use ironlight_stress::scenario::Registry;
use peakmem_alloc::PeakMemAlloc;
#[cfg(target_env = "msvc")]
use std::alloc::System as Allocator;
// The one of the program `ironlight`.
#[cfg(not(target_env = "msvc"))]
use tikv_jemallocator::Jemalloc as Allocator;

static PEAK: PeakMemAlloc<Allocator> = PeakMemAlloc::new(Allocator);
#[global_allocator]
static ALLOCATOR: Cap<&PeakMemAlloc<Allocator>> = Cap::new(&PEAK, usize::MAX);
static ALLOCATED: Counts<Allocator> = Counts::new(&ALLOCATOR, &PEAK);

fn main() -> ExitCode {
    cli::main(Registry::new(), &ALLOCATED)
}
