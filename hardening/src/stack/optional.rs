//! A layer that may be missing.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

/// A layer, or nothing: what is decided when the program runs.
///
/// ```
/// use ironlight_hardening::stack::{Optional, OptionalLayer};
/// use ironlight_hardening::stamp::BareLayer;
/// use tower_layer::Layer as _;
///
/// let around = OptionalLayer::from(Some(BareLayer)).layer("service");
/// assert!(matches!(around, Optional::Around(_)));
/// let alone = OptionalLayer::<BareLayer>::from(None).layer("service");
/// assert!(matches!(alone, Optional::Alone("service")));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OptionalLayer<L> {
    layer: Option<L>,
}

impl<L> From<Option<L>> for OptionalLayer<L> {
    fn from(layer: Option<L>) -> Self {
        Self { layer }
    }
}

impl<S, L: Layer<S>> Layer<S> for OptionalLayer<L> {
    type Service = Optional<L::Service, S>;

    fn layer(&self, inner: S) -> Self::Service {
        match &self.layer {
            Some(layer) => Optional::Around(layer.layer(inner)),
            None => Optional::Alone(inner),
        }
    }
}

/// The service of [`OptionalLayer`].
///
/// See [`OptionalLayer`] for an example.
#[derive(Clone, Copy, Debug)]
pub enum Optional<L, S> {
    /// The layer around the service.
    Around(L),
    /// The service.
    Alone(S),
}

impl<L, S, R> Service<R> for Optional<L, S>
where
    L: Service<R>,
    S: Service<R, Response = L::Response, Error = L::Error>,
{
    type Response = L::Response;
    type Error = L::Error;
    type Future = OptionalFuture<L::Future, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), L::Error>> {
        match self {
            Self::Around(service) => service.poll_ready(context),
            Self::Alone(service) => service.poll_ready(context),
        }
    }

    fn call(&mut self, request: R) -> Self::Future {
        let of = match self {
            Self::Around(service) => Of::Around { inner: service.call(request) },
            Self::Alone(service) => Of::Alone { inner: service.call(request) },
        };
        OptionalFuture { of }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Optional`].
    #[derive(Debug)]
    pub struct OptionalFuture<L, S> {
        #[pin]
        of: Of<L, S>,
    }
}

pin_project_lite::pin_project! {
    #[project = OfProjection]
    #[derive(Debug)]
    enum Of<L, S> {
        Around {
            #[pin]
            inner: L,
        },
        Alone {
            #[pin]
            inner: S,
        },
    }
}

impl<L, S> Future for OptionalFuture<L, S>
where
    L: Future,
    S: Future<Output = L::Output>,
{
    type Output = L::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().of.project() {
            OfProjection::Around { inner } => inner.poll(context),
            OfProjection::Alone { inner } => inner.poll(context),
        }
    }
}
