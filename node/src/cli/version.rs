//! `ironlight version`: what this build is and can do.

use ironlight_spv::lanes;

use crate::store::Backend;

pub(super) fn print() {
    println!("ironlight {}", crate::VERSION);
    let stores = Backend::ALL.iter().filter(|backend| backend.is_built());
    println!("stores: {}", stores.map(|backend| backend.name()).collect::<Vec<_>>().join(", "));
    println!("{}", lanes::report());
}
