//! What can go wrong between the operator and the API server, below the client.

use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    Response,
    body::{Bytes, Frame},
    header::{HeaderValue, RETRY_AFTER},
};

use super::{
    World, api_server,
    watches::{Answer, Failure},
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is refused, and the server may say after how many seconds to come again.
    Status { code: u16, retry_after: Option<u32> },
    /// It is never answered.
    Hang,
    /// It is carried out, and the connection ends in the middle of the answer.
    HalfBody,
    /// It is carried out, and the connection ends before the answer.
    Reset,
}

impl World {
    /// Requests whose line begins like this are in trouble, so many times.
    pub(crate) fn trouble(&self, start: &str, trouble: Trouble, times: usize) {
        self.state().troubles.push((start.to_owned(), trouble, times));
    }

    /// The trouble that a request is in.
    pub(super) fn take_trouble(&self, line: &str) -> Option<Trouble> {
        let mut state = self.state();
        state.requests += 1;
        let mut troubles = state.troubles.iter_mut();
        let (_, trouble, times) = troubles.find(|(start, _, times)| *times > 0 && line.starts_with(start))?;
        *times -= 1;
        Some(*trouble)
    }
}

impl Trouble {
    /// Whether the request is carried out, whatever its sender hears.
    pub(super) fn carries_out(self) -> bool {
        match self {
            Self::Status { .. } | Self::Hang => false,
            Self::HalfBody | Self::Reset => true,
        }
    }

    /// What the sender hears instead of this answer.
    pub(super) async fn instead_of(self, answer: &[u8]) -> Answer {
        match self {
            Self::Status { code, retry_after } => {
                let mut refusal = api_server::whole(code, &api_server::failure(code))?;
                let seconds = retry_after.map(HeaderValue::from);
                refusal.headers_mut().extend(seconds.map(|seconds| (RETRY_AFTER, seconds)));
                Ok(refusal)
            }
            Self::Hang => std::future::pending().await,
            Self::HalfBody => {
                let half = Bytes::copy_from_slice(&answer[..answer.len() / 2]);
                let parts = [Ok(Frame::data(half)), Err(broken())];
                Ok(Response::new(StreamBody::new(stream::iter(parts)).boxed_unsync()))
            }
            Self::Reset => Err(broken()),
        }
    }
}

fn broken() -> Failure {
    "the connection was reset".into()
}
