//! The body of an answer that may be the handler's or ours.

use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

pin_project_lite::pin_project! {
    /// The handler's body, or one that is all there already.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body::Body;
    /// use http_body_util::Empty;
    /// use ironlight_hardening::edge::EdgeBody;
    ///
    /// let known = EdgeBody::<Empty<Bytes>>::known("answer");
    /// assert_eq!(known.size_hint().exact(), Some(6));
    /// assert!(EdgeBody::new(Empty::<Bytes>::new()).is_end_stream());
    /// ```
    #[derive(Debug)]
    pub struct EdgeBody<D> {
        #[pin]
        kind: Kind<D>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<D> {
        Inner { #[pin] body: D },
        Known { bytes: Option<Bytes> },
    }
}

impl<D> EdgeBody<D> {
    /// Somebody else's body.
    pub const fn new(body: D) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    /// Bytes that are there.
    pub fn known(bytes: impl Into<Bytes>) -> Self {
        let bytes = Some(bytes.into()).filter(|bytes| !bytes.is_empty());
        Self { kind: Kind::Known { bytes } }
    }
}

impl<D: Body<Data = Bytes>> Body for EdgeBody<D> {
    type Data = Bytes;
    type Error = D::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, D::Error>>> {
        match self.project().kind.project() {
            KindProjection::Inner { body } => body.poll_frame(context),
            KindProjection::Known { bytes } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Known { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Known { bytes } => {
                let len = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(len).unwrap_or(u64::MAX))
            }
        }
    }
}
