//! Sockets that let others call them through this server: `sockets.offer`, `sockets.list`, `sockets.call`.
//!
//! In: the names of the actions that a socket offers. Out: a list of who offers what, and calls to just
//! that. On a server that is open to anybody, a client's actions must not be: whoever offers nothing can be
//! called by nobody but itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Actions, Auth, Data, ErrorCode, RawJson, RpcError, Socket, SocketId, State};

use super::Visitor;

/// How many sockets may offer actions at a time.
const MOST_SOCKETS: usize = 1_024;
/// How many actions one of them may offer.
const MOST_ACTIONS: usize = 32;
/// How long an action's name may be, in bytes.
const LONGEST_NAME: usize = 128;
/// How long a call takes at most, when the caller does not say.
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call takes at most, whatever the caller says.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(2);
/// The channel on which those who offer actions are told of each other.
const CHANNEL: &str = "sockets";

/// The sockets that let themselves be called. A clone is the same list.
#[derive(Clone, Default)]
pub(super) struct Offers(Arc<Mutex<BTreeMap<SocketId, Offer>>>);

struct Offer {
    socket: Socket,
    user: String,
    actions: Vec<String>,
}

/// One of the list, as callers see it.
#[derive(Serialize)]
struct Entry {
    socket: String,
    user: String,
    actions: Vec<String>,
    /// Whether this is the socket that asked.
    you: bool,
}

impl Offers {
    /// Forgets what a socket offered.
    pub(super) fn withdraw(&self, socket: &Socket) {
        let gone = self.0.lock().remove(&socket.id());
        if gone.is_some() {
            self.tell_all_but(socket);
        }
    }

    fn put(&self, socket: &Socket, user: String, actions: Vec<String>) -> Result<(), RpcError> {
        {
            let mut offers = self.0.lock();
            if offers.len() >= MOST_SOCKETS && !offers.contains_key(&socket.id()) {
                return Err(RpcError::new(format!(
                    "{MOST_SOCKETS} sockets offer actions already: try later"
                ))
                .with_code(ErrorCode::Overloaded));
            }
            offers.insert(socket.id(), Offer { socket: socket.clone(), user, actions });
        }
        self.tell_all_but(socket);
        Ok(())
    }

    /// Tells the others that the list is another now. What changed they see when they ask for it.
    fn tell_all_but(&self, socket: &Socket) {
        let others: Vec<Socket> = self.0.lock().values().map(|offer| offer.socket.clone()).collect();
        for other in others.iter().filter(|other| other.id() != socket.id()) {
            if let Err(error) = other.send(CHANNEL, "changed") {
                tracing::debug!(%error, socket = %other.id(), "not told that the sockets changed");
            }
        }
    }

    fn list(&self, asking: SocketId) -> Vec<Entry> {
        let offers = self.0.lock();
        let entry = |(id, offer): (&SocketId, &Offer)| Entry {
            socket: id.to_string(),
            user: offer.user.clone(),
            actions: offer.actions.clone(),
            you: *id == asking,
        };
        offers.iter().map(entry).collect()
    }

    /// The socket of this name, if it offers the action.
    fn find(&self, id: &str, action: &str) -> Result<Socket, RpcError> {
        let offers = self.0.lock();
        let offer =
            offers.iter().find(|(known, _)| known.to_string() == id).map(|(_, offer)| offer).ok_or_else(
                || {
                    let error = "no such socket offers actions: sockets.list says who does";
                    RpcError::new(error).with_code(ErrorCode::NotFound)
                },
            )?;
        if offer.actions.iter().any(|offered| offered == action) {
            Ok(offer.socket.clone())
        } else {
            let error = "this socket does not offer this action: sockets.list says what it offers";
            Err(RpcError::new(error).with_code(ErrorCode::Forbidden))
        }
    }
}

/// The actions, to be nested below `sockets`.
pub(super) fn actions() -> Actions {
    Actions::new().action("offer", offer).action("list", list).action("call", call)
}

#[derive(Deserialize)]
struct Offering {
    actions: Vec<String>,
}

/// Says which of the caller's actions others may call, in place of what it said before.
async fn offer(
    Data(Offering { actions }): Data<Offering>,
    Auth(Visitor { user }): Auth<Visitor>,
    State(offers): State<Offers>,
    socket: Socket,
) -> Result<(), RpcError> {
    if actions.len() > MOST_ACTIONS || actions.iter().any(|name| name.len() > LONGEST_NAME) {
        let most = format!("at most {MOST_ACTIONS} actions, of at most {LONGEST_NAME} bytes each");
        return Err(RpcError::bad_request(most));
    }
    if actions.is_empty() {
        offers.withdraw(&socket);
        return Ok(());
    }
    offers.put(&socket, user, actions)
}

/// Who offers what.
async fn list(State(offers): State<Offers>, socket: Socket) -> Result<Vec<Entry>, RpcError> {
    Ok(offers.list(socket.id()))
}

#[derive(Deserialize)]
struct Calling {
    /// The caller's own, when none is named.
    socket: Option<String>,
    action: String,
    #[serde(default)]
    data: RawJson,
    timeout_ms: Option<u64>,
}

/// Calls an action of the caller itself, or one that another socket offers, and answers with its answer.
async fn call(
    Data(calling): Data<Calling>,
    State(offers): State<Offers>,
    socket: Socket,
) -> Result<RawJson, RpcError> {
    let target = match calling.socket {
        Some(id) if id != socket.id().to_string() => offers.find(&id, &calling.action)?,
        _ => socket,
    };
    let timeout = calling.timeout_ms.map_or(USUAL_TIMEOUT, Duration::from_millis).min(LONGEST_TIMEOUT);
    Ok(target.rpc(&calling.action, calling.data).timeout(timeout).await?)
}
