//! `ironlight-stress list`

use crate::scenario::Registry;

/// Prints what each scenario does, and what has to hold.
pub(super) fn list(registry: &Registry) {
    for about in registry.abouts() {
        let (least, most) = about.range;
        say!("{}", about.name);
        say!("    {}", about.does);
        say!("    count: {} {}, from {least} to {most}", about.usual, about.counts);
        say!("    operation: {}; sample: {}", about.operation, about.sample);
        say!("    bound: {}", about.bound);
    }
}
