//! A call of a server's action that is being put together, and then awaited.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokensocket_protocol::RawJson;
use tokensocket_protocol::client::handle::Error;

use super::socket::TokenSocket;

/// A call that nothing was sent of yet: await it to send it.
///
/// Dropping the future, for instance in a `select!` or with the component that made it, cancels the call:
/// what waits in the queue is taken out, and a server that understands cancellation drops the action.
#[must_use = "nothing is sent before the call is awaited"]
pub struct Rpc<T> {
    socket: TokenSocket,
    path: String,
    data: Result<RawJson, serde_json::Error>,
    timeout: Option<Duration>,
    answer: PhantomData<fn() -> T>,
}

impl<T> Rpc<T> {
    pub(crate) fn new(socket: TokenSocket, path: String, data: Result<RawJson, serde_json::Error>) -> Self {
        Self { socket, path, data, timeout: None, answer: PhantomData }
    }

    /// How long to wait for the answer, with the time in the queue, in place of the client's
    /// `call_timeout`. Afterwards the call fails with [`Error::Timeout`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for Rpc<T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { socket, path, data, timeout, .. } = self;
        Box::pin(async move {
            let data = data.map_err(Error::Encode)?;
            let answer = socket.request(|session, now| session.handle_call(now, path, data, timeout)).await?;
            answer.parse().map_err(Error::Decode)
        })
    }
}

impl<T> std::fmt::Debug for Rpc<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rpc").field(&self.path).finish()
    }
}
