//! `ironlight-stress list`

use crate::scenario::Registry;

/// Prints what each scenario does, and what has to hold.
pub(super) fn list(registry: &Registry) {
    for scenario in registry.iter() {
        let about = scenario.about();
        let (least, most) = about.range;
        let alone = if scenario.is_long() { " (not in `all`)" } else { "" };
        say!("{}{alone}", about.name);
        say!("    {}", about.does);
        say!("    count: {} {}, from {least} to {most}", about.usual, about.counts);
        say!("    operation: {}; sample: {}", about.operation, about.sample);
        say!("    bound: {}", about.bound);
    }
}
