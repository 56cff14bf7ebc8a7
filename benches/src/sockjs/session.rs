//! An open session, whatever carries it.

use std::{
    process,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::time::timeout;

use super::{
    frame::Frame,
    http::Http,
    message::{Array, Foreign, Message},
    outgoing::{Form, Outgoing},
    transport::Transport,
    websocket::Websocket,
};
use crate::{
    error::BenchError,
    socket::{Address, connection::PATIENCE},
};

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    message: Rc<Message>,
    outgoing: Outgoing,
    carrier: Carrier,
    is_open: bool,
}

#[derive(Debug)]
enum Carrier {
    Websocket(Websocket),
    /// Boxed, so that a WebSocket is not as large.
    Http(Box<Http>),
}

impl Session {
    /// Opens a session of the service at `prefix`. It is there when the server
    /// has said so; a poll is under way again then.
    pub(crate) async fn open(
        transport: Transport,
        address: &Address,
        prefix: &str,
        message: Rc<Message>,
    ) -> Result<Self, BenchError> {
        let opened = async {
            let path = new_path(prefix);
            let (carrier, form) = match transport.requests() {
                None => (Carrier::Websocket(Websocket::open(address, &path).await?), Form::Frames),
                Some(requests) => {
                    let form = if requests.is_form { Form::Field } else { Form::Json };
                    (Carrier::Http(Box::new(Http::new(address, &path, requests))), form)
                }
            };
            let outgoing = Outgoing::new(Rc::clone(&message), form);
            let mut session = Self { message, outgoing, carrier, is_open: false };
            let mut is_unasked = false;
            while !session.is_open {
                session.receive(|_, _| is_unasked = true).await?;
            }
            if is_unasked {
                return Err(BenchError::Unasked);
            }
            session.flush().await?;
            Ok(session)
        };
        timeout(PATIENCE, opened).await.map_err(|_| BenchError::Silent { while_: "opening a session" })?
    }

    /// Messages to be sent with the next [`receive`](Self::receive).
    pub(crate) fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Sends what waits, waits for bytes, and hands the id of each message in
    /// them to `each`, which may send more.
    pub(crate) async fn receive(
        &mut self,
        mut each: impl FnMut(u64, &mut Outgoing),
    ) -> Result<(), BenchError> {
        self.flush().await?;
        let Self { message, outgoing, carrier, is_open } = self;
        let array = carrier.array(message);
        let mut failure = None;
        let read = |frame: Frame<'_>| {
            let read = match frame {
                Frame::Open if *is_open => Err(BenchError::Lost),
                Frame::Open => {
                    *is_open = true;
                    Ok(())
                }
                Frame::Heartbeat => Ok(()),
                Frame::Messages(text) => array
                    .read(text, |id| each(id, outgoing))
                    .map_err(|Foreign| BenchError::Foreign(String::from_utf8_lossy(text).into_owned())),
                Frame::Other(text) => Err(BenchError::Refused(String::from_utf8_lossy(text).into_owned())),
            };
            if let Err(error) = read {
                failure.get_or_insert(error);
            }
        };
        let received = match carrier {
            Carrier::Websocket(websocket) => websocket.receive(read).await,
            Carrier::Http(http) => http.receive(read).await,
        };
        // What the server said tells more than that it closed then.
        failure.map_or(received, Err)
    }

    async fn flush(&mut self) -> Result<(), BenchError> {
        match &mut self.carrier {
            Carrier::Websocket(websocket) => websocket.flush(&mut self.outgoing).await,
            Carrier::Http(http) => http.flush(&mut self.outgoing).await,
        }
    }
}

impl Carrier {
    /// What arrays of `message` look like on their way down.
    fn array<'a>(&self, message: &'a Message) -> &'a Array {
        match self {
            Self::Http(http) if http.speaks_script() => &message.script,
            _ => &message.json,
        }
    }
}

/// The path of a session that no server has seen yet.
fn new_path(prefix: &str) -> String {
    static SESSIONS: AtomicU64 = AtomicU64::new(0);
    let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}/000/bench{:x}x{number:x}", process::id())
}
