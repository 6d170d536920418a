use core::future::pending;
use core::task::{Context, Poll};
use core::time::Duration;

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::by_hand::{now, poll_now, yield_now};
use crate::stamp::{BareLayer, Stamped};
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
