//! A call of a client's action.
//!
//! In: path, argument, time limit. Out: the client's result as a type. Nothing stays behind: the waiter
//! is removed when the answer came, the time is up, the socket closed or the future was dropped.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokensocket_protocol::RawJson;
use tokensocket_protocol::command::call::Fid;
use tokio::sync::oneshot;

use super::Socket;
use crate::error::CallError;

/// A call that is sent when it is awaited.
#[must_use = "a call is sent when it is awaited"]
pub struct Outgoing<T> {
    socket: Socket,
    path: String,
    args: Result<RawJson, serde_json::Error>,
    timeout: Duration,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Outgoing<T> {
    pub(crate) fn new(
        socket: Socket,
        path: &str,
        args: Result<RawJson, serde_json::Error>,
        timeout: Duration,
    ) -> Self {
        Self { socket, path: path.to_owned(), args, timeout, result: PhantomData }
    }

    /// Waits at most this long for the answer; what is longer than a day is a day.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(Duration::from_hours(24));
        self
    }

    async fn run(self) -> Result<T, CallError> {
        let is_native = self.socket.dialect().is_native();
        let (waiter, answer) = oneshot::channel();
        let fid = self.socket.start_call(&self.path, &self.args?, self.timeout, waiter)?;
        let _forgets = Forgets { socket: self.socket, fid };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(outcome)) => {
                let answer = outcome?.json;
                if is_native {
                    return Ok(answer.parse()?);
                }
                // What other clients answer is a list of arguments, of which the first is the result.
                let mut arguments: Vec<RawJson> = answer.parse()?;
                if arguments.is_empty() {
                    return Ok(RawJson::null().parse()?);
                }
                Ok(arguments.swap_remove(0).parse()?)
            }
            Ok(Err(_)) => Err(CallError::Closed),
            Err(_) => Err(CallError::Timeout),
        }
    }
}

impl<T: DeserializeOwned + Send + 'static> IntoFuture for Outgoing<T> {
    type Output = Result<T, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T> std::fmt::Debug for Outgoing<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("socket", &self.socket)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

struct Forgets {
    socket: Socket,
    fid: Fid,
}

impl Drop for Forgets {
    fn drop(&mut self) {
        self.socket.forget_call(self.fid);
    }
}
