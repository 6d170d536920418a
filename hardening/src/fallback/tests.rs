use core::future::ready;
use core::time::Duration;
use std::io::ErrorKind;

use tower::{Layer, Service, service_fn};

use super::*;
use crate::by_hand::{poll_now, yield_now};
use crate::stamp::{BareLayer, Stamped};
use crate::{Classify, Error, ErrorClass};

type Fails = Error<std::io::Error>;

/// Fails as it is told, or doubles.
async fn service(request: Result<u32, ErrorKind>) -> Result<u32, std::io::Error> {
    yield_now().await;
    request.map(|number| 2 * number).map_err(Into::into)
}

fn stamped(request: Result<u32, ErrorKind>) -> Stamped<Result<u32, ErrorKind>> {
    Stamped::new(request, Duration::ZERO)
}

#[tokio::test]
async fn answers_for_chosen_classes_only() {
    let answer = |kept: bool, error: Fails| {
        assert!(kept);
        ready(if error.class() == ErrorClass::Timeout { Ok(7) } else { Err(error) })
    };
    let layer = FallbackLayer::new(Result::is_err, answer);
    let mut service = layer.layer(BareLayer.layer(service_fn(service)));
    assert_eq!(service.call(stamped(Ok(4))).await.unwrap(), 8);
    assert_eq!(service.call(stamped(Err(ErrorKind::TimedOut))).await.unwrap(), 7);
    let denied = service.call(stamped(Err(ErrorKind::PermissionDenied))).await.unwrap_err();
    assert_eq!(denied.class(), ErrorClass::Permanent);
    assert_eq!(layer.status().used(), 1);
    let reset = service.call(stamped(Err(ErrorKind::ConnectionReset))).await.unwrap_err();
    assert_eq!(reset.class(), ErrorClass::Temporary, "an error in place of an answer");
    assert_eq!(layer.status().used(), 2);

    let all = layer.clone().for_classes(|_| true);
    let mut service = all.layer(BareLayer.layer(service_fn(super::tests::service)));
    assert!(service.call(stamped(Err(ErrorKind::PermissionDenied))).await.is_err());
    assert_eq!(layer.status().used(), 3, "clones count together");
}

#[test]
fn the_other_answer_may_take_its_time_and_be_dropped() {
    for polls in 0..5 {
        let answer = async |(): (), _: Fails| {
            yield_now().await;
            Ok::<_, Fails>(1)
        };
        let layer = FallbackLayer::new(|_: &_| (), answer);
        let mut service = layer.layer(BareLayer.layer(service_fn(service)));
        let mut call = Box::pin(service.call(stamped(Err(ErrorKind::TimedOut))));
        for poll in 0..polls.min(3) {
            assert_eq!(poll_now(call.as_mut()).is_ready(), poll == 2);
        }
        drop(call);
        assert_eq!(layer.status().used(), u64::from(polls > 1));
    }
}
