//! `deliver`: anybody here may deliver to anybody.
//!
//! In: whom an event is for, the event and its arguments. Out: for how many devices it is kept now. What that means
//! is the server's affair: see `Server::deliver`.

use serde::{Deserialize, Serialize};
use tokensocket_server::{Data, DeliverError, DeliverOptions, ErrorCode, RawJson, RpcError, Server, To};

/// How many users one delivery may name.
const MOST_USERS: usize = 1_024;

#[derive(Deserialize)]
pub(super) struct Delivering {
    #[serde(default)]
    users: Vec<String>,
    room: Option<String>,
    #[serde(default)]
    everyone: bool,
    event: String,
    #[serde(default)]
    args: RawJson,
    key: Option<String>,
    #[serde(default)]
    resync: bool,
}

#[derive(Serialize)]
pub(super) struct Delivered {
    devices: usize,
    duplicate: bool,
}

impl Delivering {
    fn to(&self) -> Option<To> {
        match (&*self.users, &self.room, self.everyone) {
            (users @ [_, ..], None, false) if users.len() <= MOST_USERS => {
                Some(To::users(users.iter().cloned()))
            }
            ([], Some(room), false) => Some(To::room(room.as_str())),
            ([], None, true) => Some(To::everyone()),
            _ => None,
        }
    }

    fn options(&self) -> DeliverOptions {
        let options = DeliverOptions::new().resync(self.resync);
        self.key.iter().fold(options, |options, key| options.key(key.as_str()))
    }
}

/// Keeps an event for the devices of some users, of a room or of everybody, and sends it to those that are there.
pub(super) async fn deliver(
    Data(delivering): Data<Delivering>,
    server: Server,
) -> Result<Delivered, RpcError> {
    let Some(to) = delivering.to() else {
        let most = format!("one of `users` (1 to {MOST_USERS}), `room` and `everyone`");
        return Err(RpcError::bad_request(most));
    };
    let options = delivering.options();
    let delivered =
        server.deliver(to, &delivering.event, &delivering.args, options).await.map_err(refused)?;
    Ok(Delivered { devices: delivered.devices, duplicate: delivered.duplicate })
}

fn refused(error: DeliverError) -> RpcError {
    match error {
        DeliverError::Store(error) => RpcError::new(error.to_string()).with_code(ErrorCode::Overloaded),
        wrong => RpcError::bad_request(wrong.to_string()),
    }
}
