//! The task of one connection: the only place where its session and its namespaces meet.
//!
//! In: a session that has just begun. Out: nothing; when the task ends, all its sockets are gone from their nodes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokensocket_protocol::Close;
use tokensocket_protocol::engineio::Version;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Core;
use super::client::{Client, Over};
use super::request::Handshake;
use crate::hub;
use crate::transport::engineio::session::{End, Session};

pub(crate) struct Connection {
    /// `None` at the end.
    session: Option<Session>,
    client: Client,
    /// Its server begins to end.
    stop: Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
    /// Until when it may be in no namespace, or its close may take.
    until: Pin<Box<Sleep>>,
    phase: Phase,
    /// There may be more to read, of which nobody will be woken.
    held: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
}

impl Connection {
    pub(super) fn new(core: Arc<Core>, version: Version, mut session: Session, handshake: Handshake) -> Self {
        let now = Instant::now();
        let stop = Box::pin(core.stop.clone().cancelled_owned());
        let until = Box::pin(sleep_until(now + core.options.connect_timeout));
        let client = Client::new(core, version, handshake, &mut session);
        tracing::debug!(protocol = version.number(), "a Socket.IO client connects");
        Self { session: Some(session), client, stop, until, phase: Phase::Open, held: false }
    }

    /// Reads, lets in, says. An error when the connection is over.
    fn poll_open(&mut self, session: &mut Session, cx: &mut Context<'_>) -> Result<(), Over> {
        if !self.client.is_stopping && self.stop.as_mut().poll(cx).is_ready() {
            self.client.stop();
        }
        session.poll_carrier(cx)?;
        self.held = true;
        if self.client.listens(session) {
            let client = &mut self.client;
            let read = hub::corked(|| session.poll_receive(cx, |data, cx| client.handle(data, cx)));
            self.held = !read?;
        }
        self.client.poll_joining(session, cx);
        if self.client.comes_back {
            return Err(Over::Close(Close::RESTART));
        }
        self.client.poll_joined(session, cx)?;
        session.poll_times(cx)?;
        while let Some(until) = self.client.until(session) {
            if self.until.deadline() != until {
                self.until.as_mut().reset(until);
            }
            if self.until.as_mut().poll(cx).is_pending() {
                break;
            }
            if self.client.told_at(session).is_none_or(|at| at > Instant::now()) {
                if session.is_changing() {
                    // It would never see why. This is woken when it has changed, or has given up.
                    break;
                }
                return Err(Over::Close(Close::NORMAL));
            }
            self.client.poll_joining(session, cx);
            if self.client.comes_back {
                return Err(Over::Close(Close::RESTART));
            }
        }
        Ok(())
    }

    fn begin_close(&mut self, session: &mut Session, close: &Close) {
        self.client.end(close);
        session.close(close);
        self.phase = Phase::Closing;
        self.until.as_mut().reset(Instant::now() + self.client.core.options.close_timeout);
    }

    /// Looks at everything once. Ready at the connection's end; `true`: look again.
    fn poll_once(&mut self, session: &mut Session, cx: &mut Context<'_>) -> Poll<bool> {
        let was_open = self.phase == Phase::Open;
        let polled = match self.phase {
            Phase::Open => self.poll_open(session, cx),
            Phase::Closing => session.poll_carrier(cx).map_err(Over::End),
        };
        match polled {
            Ok(()) => {}
            Err(Over::Close(close)) => self.begin_close(session, &close),
            Err(Over::End(End::Broken)) => self.begin_close(session, &Close::PROTOCOL_ERROR),
            Err(Over::End(end)) => {
                // What it answers to a close is written if it can be at once.
                let _ = session.poll_flush(cx);
                self.client.end(&reason(end));
                return Poll::Ready(false);
            }
        }
        let flushed = session.poll_flush(cx);
        if let Poll::Ready(Err(end)) = flushed {
            self.client.end(&reason(end));
            return Poll::Ready(false);
        }
        if self.phase == Phase::Closing {
            if was_open {
                // What broke off was not waiting for the peer: its answer would wake nobody.
                return Poll::Ready(true);
            }
            return self.until.as_mut().poll(cx).map(|()| false);
        }
        let parked = self.client.joined.iter().all(|joined| joined.park(session, cx));
        // What was written may have made room for what waits to be read.
        if !parked || (self.held && flushed.is_ready() && self.client.listens(session)) {
            return Poll::Ready(true);
        }
        Poll::Pending
    }
}

/// What the hooks are told.
fn reason(end: End) -> Close {
    match end {
        End::Left => Close::GOING_AWAY,
        End::Silent => Close::PEER_SILENT,
        End::Broken => Close::PROTOCOL_ERROR,
        End::Closed => Close::NORMAL,
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(mut session) = this.session.take() else { return Poll::Ready(()) };
        loop {
            match this.poll_once(&mut session, cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => {
                    session.end();
                    return Poll::Ready(());
                }
                Poll::Pending => {
                    this.session = Some(session);
                    return Poll::Pending;
                }
            }
        }
    }
}
