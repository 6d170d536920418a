//! What the tests of several layers share.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};

/// A body that comes in these parts, and does not say how long it is.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) frames: VecDeque<Result<Frame<Bytes>, &'static str>>,
}

impl Parts {
    pub(super) fn of(parts: &[&'static str]) -> Self {
        let frame = |part: &&'static str| Ok(Frame::data(Bytes::from_static(part.as_bytes())));
        Self { frames: parts.iter().map(frame).collect() }
    }

    pub(super) fn then_trailers(mut self) -> Self {
        self.frames.push_back(Ok(Frame::trailers(HeaderMap::new())));
        self
    }

    pub(super) fn then_error(mut self) -> Self {
        self.frames.push_back(Err("broken"));
        self
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.frames.pop_front())
    }
}

pub(super) type Answered = Result<Response<Full<Bytes>>, Infallible>;

/// An answer with this body.
pub(super) fn ok(body: &'static str) -> Response<Full<Bytes>> {
    Response::new(Full::from(body))
}

/// The value of one header, as text.
pub(super) fn header<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

pub(super) async fn text<B: Body<Data = Bytes, Error: core::fmt::Debug>>(body: B) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}
