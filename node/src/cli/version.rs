//! `ironlight version`: what this build is and can do.

use ironlight_spv::lanes;

use crate::store::Backend;

pub(super) fn print() {
    say!("ironlight {}", crate::VERSION);
    let stores = Backend::ALL.iter().filter(|backend| backend.is_built());
    say!("stores: {}", stores.map(|backend| backend.name()).collect::<Vec<_>>().join(", "));
    say!("{}", lanes::report());
}
