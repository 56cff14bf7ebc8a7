//! Events of the application's own, with bytes and with acknowledgements.
//!
//! In: a name, arguments. Out: one record in the socket's outbox; what the client acknowledges it with.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use serde::ser::Error as _;
use tokensocket_protocol::command::call::Fid;
use tokensocket_protocol::socketio::{self as wire, ArgumentList};
use tokio::sync::oneshot;

use super::args::EventArgs;
use crate::error::{CallError, PublishError};
use crate::format::dialect::Dialect;
use crate::format::dialect::socketio::Ack;
use crate::format::record::{self, Note};
use crate::socket::Socket;

/// An event that is sent when it is awaited, and resolves to what the client acknowledges it with.
#[must_use = "it is sent when it is awaited"]
#[derive(Debug)]
pub struct EmitWithAck {
    socket: Socket,
    event: String,
    args: EventArgs,
    timeout: Duration,
}

impl Socket {
    /// Sends an event whose arguments may be bytes. The same as [`Socket::emit`] otherwise.
    ///
    /// An error: bytes, for a client that is none of Socket.IO's.
    pub fn emit_args(&self, event: &str, args: &EventArgs) -> Result<(), PublishError> {
        if self.dialect() == Dialect::SocketIo {
            self.push_event(None, event, args);
            return Ok(());
        }
        if !args.attachments().is_empty() {
            return Err(PublishError::NotJson(serde_json::Error::custom("this client takes no bytes")));
        }
        self.emit(event, args.to_json())
    }

    /// Sends an event, and waits until the client acknowledges it: at most the server's `rpc_timeout` (30 s by default);
    /// see [`EmitWithAck::timeout`] for another limit. [`CallError::Unsupported`] for a client that is none of
    /// Socket.IO's: see [`Socket::rpc`].
    pub fn emit_with_ack(&self, event: impl Into<String>, args: EventArgs) -> EmitWithAck {
        EmitWithAck { socket: self.clone(), event: event.into(), args, timeout: self.rpc_timeout() }
    }

    fn push_event(&self, ack: Option<Ack>, event: &str, EventArgs(args): &EventArgs) {
        let (mut text, mut frame) = (Vec::new(), Vec::new());
        let attachments = args.attachments();
        let number = ack.map(Ack::number);
        wire::push_event("/", number, event, args.arguments(), attachments.len(), &mut text);
        record::push_with_parts(&mut frame, &text, Note::None, attachments);
        self.post(&frame.into());
    }
}

impl EmitWithAck {
    /// Waits at most this long; what is longer than a day is a day.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(Duration::from_hours(24));
        self
    }

    async fn run(self) -> Result<EventArgs, CallError> {
        let Self { socket, event, args, timeout } = self;
        if socket.dialect() != Dialect::SocketIo {
            return Err(CallError::Unsupported);
        }
        let (waiter, answer) = oneshot::channel();
        let fid = socket.note_call(waiter)?;
        let _forgets = Forgets(&socket, fid);
        socket.push_event(Some(Ack::Call(fid)), &event, &args);
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(outcome)) => {
                let answered = outcome?;
                Ok(EventArgs(
                    ArgumentList::of_parts(&answered.json, answered.attachments).unwrap_or_default(),
                ))
            }
            Ok(Err(_)) => Err(CallError::Closed),
            Err(_) => Err(CallError::Timeout),
        }
    }
}

impl IntoFuture for EmitWithAck {
    type Output = Result<EventArgs, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

struct Forgets<'a>(&'a Socket, Fid);

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.0.forget_call(self.1);
    }
}
