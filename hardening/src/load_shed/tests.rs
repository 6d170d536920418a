use core::future::pending;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::by_hand::{now, poll_now, yield_now};
use crate::stamp::{BareLayer, Stamped};
use crate::testing::Numbers;
use crate::{Error, Rejected};

type Fails = Error<std::io::Error>;

/// Ready once, until it is called.
struct Once(bool);

impl Service<Stamped<()>> for Once {
    type Response = ();
    type Error = Fails;
    type Future = core::future::Pending<Result<(), Fails>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fails>> {
        if self.0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Stamped<()>) -> Self::Future {
        assert!(core::mem::take(&mut self.0), "called without being ready");
        pending()
    }
}

#[test]
fn refuses_what_the_service_is_not_ready_for() {
    let layer = LoadShedLayer::default();
    let mut service = layer.layer(Once(true));
    let request = Stamped::new((), Duration::ZERO);
    let first = now(service.ready()).unwrap().call(request);
    assert_eq!(layer.status().running(), 1);
    for refused in 1..4 {
        let second = now(service.ready()).unwrap().call(request);
        let Err(Error::Rejected(rejected)) = now(second) else { panic!("it is not ready") };
        assert_eq!(rejected, Rejected::Overloaded { limit: 1 });
        assert_eq!(layer.status().refused(), refused);
    }
    drop(first);
    assert_eq!(layer.status().running(), 0);
}

#[test]
fn dropped_at_any_await_or_ended_it_is_not_counted_as_running() {
    for polls in 0..4 {
        let layer = LoadShedLayer::default();
        let service = service_fn(async |()| {
            yield_now().await;
            yield_now().await;
            Ok::<_, std::io::Error>(())
        });
        let mut service = layer.layer(BareLayer.layer(service));
        let request = Stamped::new((), Duration::ZERO);
        let mut call = Box::pin(now(service.ready()).unwrap().call(request));
        for poll in 0..polls {
            assert_eq!(layer.status().running(), 1);
            assert_eq!(poll_now(call.as_mut()).is_ready(), poll == 2);
        }
        if polls == 3 {
            assert_eq!(layer.status().running(), 0, "ended, though it is still there");
        }
        drop(call);
        assert_eq!(layer.status().running(), 0);
    }
}

#[test]
fn a_service_that_breaks_says_so() {
    struct Broken;
    impl Service<Stamped<()>> for Broken {
        type Response = ();
        type Error = Fails;
        type Future = core::future::Pending<Result<(), Fails>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fails>> {
            Poll::Ready(Err(Error::Inner(std::io::ErrorKind::ConnectionRefused.into())))
        }
        fn call(&mut self, _: Stamped<()>) -> Self::Future {
            pending()
        }
    }
    let mut service = LoadShedLayer::default().layer(Broken);
    assert!(now(service.ready()).is_err());
}

/// Has a number of places; a call ends when its end is set, and then its place is free.
#[derive(Clone)]
struct Places {
    free: Arc<AtomicU32>,
    ends: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
}

struct Inside {
    places: Places,
    end: Arc<AtomicBool>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.places.free.fetch_add(1, Ordering::SeqCst);
    }
}

impl Future for Inside {
    type Output = Result<(), Fails>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.end.load(Ordering::SeqCst) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Service<Stamped<()>> for Places {
    type Response = ();
    type Error = Fails;
    type Future = Inside;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fails>> {
        if self.free.load(Ordering::SeqCst) > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Stamped<()>) -> Inside {
        self.free.fetch_sub(1, Ordering::SeqCst);
        let end = Arc::<AtomicBool>::default();
        self.ends.lock().unwrap().push(Arc::clone(&end));
        Inside { places: self.clone(), end }
    }
}

/// The model: a list of those that go on, and a count of those for whom it was full.
#[test]
fn it_lets_in_and_counts_as_a_plain_list_does() {
    let (mut let_in, mut refusals) = (0_u32, 0_u32);
    for seed in 0..100 {
        let mut numbers = Numbers(seed);
        let room = u32::try_from(1 + numbers.below(5)).unwrap();
        let places = Places { free: Arc::new(AtomicU32::new(room)), ends: Arc::default() };
        let layer = LoadShedLayer::default();
        let mut service = layer.layer(places.clone());
        let (mut going_on, mut refused) = (Vec::new(), 0_u64);
        for _ in 0..1_000 {
            let which = numbers.below(going_on.len().max(1) as u64);
            let which = usize::try_from(which).unwrap();
            match numbers.below(4) {
                0 | 1 => {
                    let full = going_on.len() == room as usize;
                    let mut call = Box::pin(
                        now(service.ready()).unwrap().call(Stamped::new((), Duration::ZERO)),
                    );
                    match poll_now(call.as_mut()) {
                        Poll::Pending => {
                            assert!(!full);
                            let end = places.ends.lock().unwrap().pop().unwrap();
                            going_on.push((call, end));
                            let_in += 1;
                        }
                        Poll::Ready(done) => {
                            let Err(Error::Rejected(rejected)) = done else { panic!("{done:?}") };
                            assert!(full && rejected == Rejected::Overloaded { limit: room });
                            refused += 1;
                        }
                    }
                }
                // One comes to its end, or is dropped.
                2 if !going_on.is_empty() => {
                    let (mut call, end) = going_on.swap_remove(which);
                    end.store(true, Ordering::SeqCst);
                    assert!(matches!(poll_now(call.as_mut()), Poll::Ready(Ok(()))));
                }
                _ if !going_on.is_empty() => drop(going_on.swap_remove(which)),
                _ => {}
            }
            assert_eq!(layer.status().running() as usize, going_on.len());
            assert_eq!(layer.status().refused(), refused);
        }
        refusals += u32::try_from(refused).unwrap();
    }
    assert!(let_in > 10_000 && refusals > 5_000, "{let_in} {refusals}");
}
