use super::support::*;
use alloc::vec::Vec;
#[test]
fn speed() {
    let ledger = Ledger::new(46_000, &[]);
    let start = std::time::Instant::now();
    let mut setup = Setup::new(ledger);
    setup.honest(ONE, 0);
    let mut n = 0;
    let mut answering = core::time::Duration::ZERO;
    loop {
        setup.collect(0);
        if setup.seen.asked.is_empty() {
            break;
        }
        let asked: Vec<_> = setup.seen.asked.drain(..).collect();
        for (peer, id, request) in asked {
            n += 1;
            let t = std::time::Instant::now();
            let answer = setup.ledger.answer(&setup.stories[&peer], &request);
            answering += t.elapsed();
            setup.sync.handle_answer(&setup.ledger.chain, peer, id, answer, at(0));
        }
    }
    std::println!(
        "{} delivered in {:?} of which answering {:?}, {n} requests",
        setup.seen.delivered.len(),
        start.elapsed(),
        answering
    );
}
