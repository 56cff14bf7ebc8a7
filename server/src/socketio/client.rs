//! What a client is in, and is about to be in: its namespaces, and what it says in them.
//!
//! In: messages that came, and the session that answers go to. Out: sockets that come and go; or the word that its connection
//! is to end. How its session is looked after is `connection.rs`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokensocket_protocol::engineio::{Data, Version};
use tokensocket_protocol::socketio::{self as wire, Body, Decoder, Packet};
use tokensocket_protocol::{Close, RawJson, Token};
use tokio::time::Instant;

use super::args::EventArgs;
use super::joined::{Joined, Order};
use super::joining::{Early, Joining};
use super::request::{ConnectRequest, Handshake, Refusal};
use super::{Core, REFUSED};
use crate::transport::engineio::session::{End, Session};

/// The namespace in which clients of versions 1 and 2 are from the beginning.
const ROOT: &str = "/";

/// The longest name of a namespace, in bytes.
const MAX_NAME: usize = 256;
/// The most that a client may say of itself when it joins one, in bytes: room for any token.
const MAX_HELLO: usize = 16 * 1024;

/// How long such a client may take to name another namespace before it is told that it may not be in the root, which it
/// would take for a refusal of all namespaces: when it brought a token that could be one for the root, another token, or
/// none. Counted from when it is known to have been greeted, so that its distance does not count.
const NAMING: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(10)];
/// After how long one that gives no sign is told all the same.
const SILENT: Duration = Duration::from_secs(10);

/// What is known of the client, apart from how it is reached.
pub(super) struct Client {
    pub(super) core: Arc<Core>,
    version: Version,
    handshake: Handshake,
    decoder: Decoder,
    joining: Vec<Joining>,
    pub(super) joined: Vec<Joined>,
    /// It was refused for good: its connection ends then.
    refused_at: Option<Instant>,
    /// Since when it is in no namespace.
    alone_since: Option<Instant>,
    unrooted: Option<Unrooted>,
    /// Its server ends.
    pub(super) is_stopping: bool,
    /// Its connection is to end, so that it comes back.
    pub(super) comes_back: bool,
}

/// A client may not be in the root, and may mean another namespace.
struct Unrooted {
    why: Refusal,
    since: Instant,
    patience: Duration,
}

impl Unrooted {
    /// When it is told so.
    fn told_at(&self, session: &Session) -> Instant {
        match session.heard() {
            Some(heard) => heard.at + heard.delay + self.patience,
            None => self.since + SILENT,
        }
    }
}

/// Why a connection goes on no further.
pub(super) enum Over {
    /// It is over.
    End(End),
    /// It is to be closed.
    Close(Close),
}

impl From<End> for Over {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl Client {
    /// A client of version 1 or 2 is told that it is in the root.
    pub(super) fn new(
        core: Arc<Core>,
        version: Version,
        handshake: Handshake,
        session: &mut Session,
    ) -> Self {
        let mut client = Self {
            decoder: Decoder::new(version, core.options.max_payload),
            version,
            handshake,
            joining: Vec::new(),
            joined: Vec::new(),
            refused_at: None,
            alone_since: Some(Instant::now()),
            unrooted: None,
            is_stopping: false,
            comes_back: false,
            core,
        };
        if version == Version::V3 {
            // They are told so before anything else, whether they are let in or not, and whether there is a root.
            let mut text = Vec::new();
            wire::push_connected(version, ROOT, session.sid(), &mut text);
            session.send(text);
            client.connect(ROOT, None, None);
        }
        client
    }

    /// Whether it may say more: not while it does not read what it was told.
    pub(super) fn listens(&self, session: &Session) -> bool {
        session.has_room() && self.wants_more()
    }

    fn wants_more(&self) -> bool {
        self.joining.len() <= self.core.options.max_namespaces && self.joined.iter().all(Joined::listens)
    }

    /// Its server ends: what runs may finish, then the client comes back elsewhere. A namespace whose server ends too is
    /// told by that.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
        self.joining = Vec::new();
        self.joined.iter_mut().filter(|joined| !joined.is_told_to_go()).for_each(Joined::drain);
    }

    /// Takes one message. Whether it may say more.
    pub(super) fn handle(&mut self, data: Data<'_>, cx: &mut Context<'_>) -> Result<bool, End> {
        match data {
            Data::Text(text) => match self.decoder.text(text) {
                Ok(Some(packet)) => self.handle_packet(packet, Vec::new(), cx)?,
                Ok(None) => {}
                Err(bad) => return Err(broken(bad)),
            },
            Data::Binary(bytes) => match self.decoder.binary(bytes.into_owned()) {
                Ok(Some(mut whole)) => {
                    let attachments = std::mem::take(&mut whole.attachments);
                    let packet = whole.packet().map_err(broken)?;
                    self.handle_packet(packet, attachments, cx)?;
                }
                Ok(None) => {}
                Err(bad) => return Err(broken(bad)),
            },
        }
        Ok(self.wants_more())
    }

    fn handle_packet(
        &mut self,
        packet: Packet<'_>,
        attachments: Vec<Bytes>,
        cx: &mut Context<'_>,
    ) -> Result<(), End> {
        let Packet { namespace, query, body } = packet;
        if namespace.len() > MAX_NAME {
            return Err(End::Broken);
        }
        match body {
            Body::Connect { auth } => {
                let said = query.map_or(0, str::len) + auth.map_or(0, |auth| auth.as_str().len());
                if said > MAX_HELLO {
                    return Err(End::Broken);
                }
                self.connect(namespace, query, auth.map(RawJson::copy_of));
                Ok(())
            }
            Body::Disconnect => {
                self.joining.retain(|joining| &*joining.name != namespace);
                if let Some(joined) = self.take(namespace) {
                    joined.end(Close::NORMAL);
                }
                Ok(())
            }
            Body::Event { number, name, arguments, .. } => {
                let args = EventArgs(arguments.to_list(attachments));
                if let Some(joined) = self.find(namespace) {
                    joined.handle(number, &name, args, cx);
                    return Ok(());
                }
                // Only in the root is a client of versions 1 and 2 told that it is in before it is.
                let joining = self.joining.iter_mut().find(|joining| &*joining.name == namespace);
                if let Some(joining) = joining.filter(|_| self.version == Version::V3 && namespace == ROOT)
                    && !joining.hold(Early { number, name: name.into_owned(), args })
                {
                    return Err(End::Broken);
                }
                Ok(())
            }
            Body::Ack { number, arguments, .. } => {
                if let Some(joined) = self.find(namespace) {
                    joined.acknowledged(number, &EventArgs(arguments.to_list(attachments)));
                }
                Ok(())
            }
            Body::Error { .. } => Ok(()),
        }
    }

    fn find(&mut self, namespace: &str) -> Option<&mut Joined> {
        self.joined.iter_mut().find(|joined| &*joined.name == namespace)
    }

    fn take(&mut self, namespace: &str) -> Option<Joined> {
        let at = self.joined.iter().position(|joined| &*joined.name == namespace)?;
        Some(self.joined.swap_remove(at))
    }

    /// Begins to join a namespace.
    fn connect(&mut self, namespace: &str, query: Option<&str>, auth: Option<RawJson>) {
        let is_known = self.joined.iter().any(|joined| &*joined.name == namespace)
            || self.joining.iter().any(|joining| &*joining.name == namespace);
        let found = self.core.find(namespace);
        if namespace != ROOT {
            self.unrooted = None;
        }
        if self.is_stopping
            || is_known
            || (found.is_none() && self.version == Version::V3 && namespace == ROOT)
        {
            return;
        }
        let request = ConnectRequest::new(namespace, self.version, self.handshake.clone(), query, auth);
        let joining = match found {
            Some(_) if self.joined.len() + self.joining.len() >= self.core.options.max_namespaces => {
                Joining::refused(namespace, "too many namespaces on one connection")
            }
            Some(found) => Joining::new(namespace, found, request, self.core.options.connect_timeout),
            None => Joining::refused(namespace, "Invalid namespace"),
        };
        self.joining.push(joining);
    }

    /// Lets in, or refuses, whoever is about to join.
    pub(super) fn poll_joining(&mut self, session: &mut Session, cx: &mut Context<'_>) {
        let mut at = 0;
        while let Some(joining) = self.joining.get_mut(at) {
            let Poll::Ready(outcome) = joining.poll(cx) else {
                at += 1;
                continue;
            };
            let Joining { name, namespace, early, is_meant, .. } = self.joining.remove(at);
            match (outcome, namespace) {
                (Ok(member), Some(namespace)) => {
                    let mut joined = Joined::new(name, namespace, member);
                    if self.version == Version::V4 || *joined.name != *ROOT {
                        let mut text = Vec::new();
                        wire::push_connected(self.version, &joined.name, &joined.id(), &mut text);
                        session.send(text);
                    }
                    joined.greet();
                    for Early { number, name, args } in early {
                        joined.handle(number, &name, args, cx);
                    }
                    let is_other = self.version == Version::V3 && *joined.name != *ROOT;
                    self.joined.push(joined);
                    if is_meant && is_other {
                        self.leave_silent_root();
                        at = 0;
                    }
                }
                (Err(refusal), _)
                    if self.version == Version::V3 && *name == *ROOT && self.core.has_others(ROOT) =>
                {
                    let [likely, unlikely, without] = NAMING;
                    let patience = match self.handshake.parameter("token") {
                        Some(token) if Token::parse(&token).is_ok() => likely,
                        Some(_) => unlikely,
                        None => without,
                    };
                    self.unrooted = Some(Unrooted { why: refusal, since: Instant::now(), patience });
                    session.ask();
                }
                // A client that is refused does not try again by itself; one that loses its connection does, and
                // finds whoever is there then.
                (Err(refusal), _)
                    if refusal.comes_back && self.joined.is_empty() && self.joining.is_empty() =>
                {
                    self.comes_back = true;
                }
                (Err(refusal), _) => self.refuse(&name, &refusal, session),
                (Ok(_), None) => {}
            }
        }
        if !(self.joined.is_empty() && self.joining.is_empty()) {
            self.unrooted = None;
        }
        let is_due = |unrooted: &mut Unrooted| unrooted.told_at(session) <= Instant::now();
        if let Some(Unrooted { why: refusal, .. }) = self.unrooted.take_if(is_due) {
            if refusal.comes_back {
                self.comes_back = true;
            } else {
                self.refuse(ROOT, &refusal, session);
            }
        }
        let is_alone = self.joined.is_empty() && self.joining.is_empty();
        self.alone_since = is_alone.then(|| self.alone_since.unwrap_or_else(Instant::now));
    }

    /// Takes the client out of the root, where it was let in by a token that was meant for another namespace, unless it
    /// has spoken there.
    fn leave_silent_root(&mut self) {
        self.joining.retain(|joining| *joining.name != *ROOT || !joining.early.is_empty());
        if self.find(ROOT).is_some_and(|root| !root.has_spoken())
            && let Some(root) = self.take(ROOT)
        {
            root.end(Close::NORMAL);
        }
    }

    fn refuse(&mut self, namespace: &str, refusal: &Refusal, session: &mut Session) {
        tracing::debug!(namespace, %refusal, "a Socket.IO client was refused");
        let mut text = Vec::new();
        match &refusal.data {
            Some(data) => {
                wire::push_refusal_with(self.version, namespace, &refusal.message, data, &mut text);
            }
            None => wire::push_refusal(self.version, namespace, &refusal.message, &mut text),
        }
        session.send(text);
        if refusal.ends {
            self.refused_at.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn poll_joined(&mut self, session: &mut Session, cx: &mut Context<'_>) -> Result<(), Over> {
        let mut at = 0;
        while let Some(joined) = self.joined.get_mut(at) {
            match joined.poll(self.version, session, cx) {
                Order::Stay => at += 1,
                Order::End(close) => return Err(Over::Close(close)),
                Order::Leave(close) => {
                    let joined = self.joined.swap_remove(at);
                    // A client that was told to leave does not come back by itself; one that loses its connection
                    // does.
                    let is_last = self.joined.is_empty() && self.joining.is_empty();
                    if close == Close::RESTART && (is_last || self.is_stopping) {
                        joined.end(close.clone());
                        if is_last {
                            return Err(Over::Close(close));
                        }
                        // It comes back to all of them, and not before the last one has let it go.
                        self.joined.iter_mut().for_each(Joined::drain);
                        at = 0;
                        continue;
                    }
                    if close != Close::RESTART {
                        // Nor shall it, by what let it in before.
                        self.handshake.forget_token();
                    }
                    let mut text = Vec::new();
                    wire::push_disconnected(&joined.name, &mut text);
                    session.send(text);
                    joined.end(close);
                }
            }
        }
        if self.is_stopping && self.joined.is_empty() {
            return Err(Over::Close(Close::RESTART));
        }
        Ok(())
    }

    /// When the connection ends as it stands.
    pub(super) fn until(&self, session: &Session) -> Option<Instant> {
        let alone_since = self.alone_since?;
        let refused = self.refused_at.map(|at| at + REFUSED);
        let alone = alone_since + self.core.options.connect_timeout;
        refused.into_iter().chain(self.told_at(session)).chain([alone]).min()
    }

    /// When it is told that it may not be in the root, if it may not.
    pub(super) fn told_at(&self, session: &Session) -> Option<Instant> {
        self.unrooted.as_ref().map(|unrooted| unrooted.told_at(session))
    }

    /// Leaves all namespaces.
    pub(super) fn end(&mut self, close: &Close) {
        self.joining = Vec::new();
        for joined in std::mem::take(&mut self.joined) {
            joined.end(close.clone());
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A runtime that ends drops its tasks; their sockets go, too.
        self.joining = Vec::new();
        self.joined = Vec::new();
    }
}

fn broken(bad: wire::BadPacket) -> End {
    tracing::debug!(%bad, "a Socket.IO client broke the protocol");
    End::Broken
}
