//! Copies an answer on its way out.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};

use super::key::CacheKey;
use super::rules::Keep;
use super::state::{Begun, FillPlace, ResponseCache};

/// An answer that is put in when all of it has gone out.
pub(super) struct Fill {
    cache: ResponseCache,
    key: CacheKey,
    headers: HeaderMap,
    keep: Keep,
    begun: Begun,
    bytes: Vec<u8>,
    _place: FillPlace,
}

impl Fill {
    /// None where the body is known to be too large, or enough others are being copied.
    pub(super) fn begin(
        cache: &ResponseCache,
        key: CacheKey,
        headers: HeaderMap,
        keep: Keep,
        begun: Begun,
        size: &SizeHint,
    ) -> Option<Box<Self>> {
        let place = cache.place();
        let lower = usize::try_from(size.lower()).unwrap_or(usize::MAX);
        let (Some(place), true) = (place, lower <= cache.config().max_body) else {
            cache.count_refused();
            return None;
        };
        let cache = cache.clone();
        let bytes = Vec::with_capacity(lower);
        Some(Box::new(Self { cache, key, headers, keep, begun, bytes, _place: place }))
    }

    /// Whether it still fits.
    fn add(&mut self, data: &[u8]) -> bool {
        let fits = self.bytes.len().saturating_add(data.len()) <= self.cache.config().max_body;
        if fits {
            self.bytes.extend_from_slice(data);
        } else {
            self.cache.count_refused();
        }
        fits
    }

    fn end(self: Box<Self>) {
        let announced = self.headers.get(CONTENT_LENGTH);
        let whole = announced.is_none_or(|length| {
            let length = length.to_str().ok().and_then(|text| text.parse().ok());
            length == Some(self.bytes.len())
        });
        // Of `HEAD` the length is that of the body that is not sent.
        if whole || self.key.is_head() {
            // Without the room to spare, which nobody would count.
            let body = Bytes::from(self.bytes.into_boxed_slice());
            let _kept = self.cache.put(self.key, self.headers, body, self.keep, self.begun);
        }
    }
}

pin_project_lite::pin_project! {
    /// The handler's body, copied where it is to be kept. Dropped before its end, or ended by an
    /// error or by trailers, nothing is kept.
    pub struct Tee<D> {
        #[pin]
        body: D,
        fill: Option<Box<Fill>>,
    }
}

impl<D> fmt::Debug for Tee<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("fills", &self.fill.is_some()).finish_non_exhaustive()
    }
}

impl<D: Body<Data = Bytes>> Tee<D> {
    pub(super) fn new(body: D, fill: Option<Box<Fill>>) -> Self {
        let mut tee = Self { body, fill };
        // Nobody polls a body that says it is at its end.
        if tee.body.is_end_stream()
            && let Some(fill) = tee.fill.take()
        {
            fill.end();
        }
        tee
    }
}

impl<D: Body<Data = Bytes>> Body for Tee<D> {
    type Data = Bytes;
    type Error = D::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, D::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(context));
        let goes_on = match (&frame, this.fill.as_mut()) {
            (Some(Ok(frame)), Some(fill)) => frame.data_ref().is_some_and(|data| fill.add(data)),
            (Some(Err(_)), _) => false,
            (None, _) | (Some(Ok(_)), None) => true,
        };
        let at_end = frame.is_none() || this.body.is_end_stream();
        if !goes_on {
            *this.fill = None;
        } else if at_end && let Some(fill) = this.fill.take() {
            fill.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
