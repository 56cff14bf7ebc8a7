//! The server that runs while nothing is configured: open to anybody who can reach it.
//!
//! In: the origins whose pages may ask for tokens, and where things are kept. Out: a server that gives everybody a
//! token, keeps every channel's history and presence, delivers to devices, and has a few actions to try. It must not
//! know where it listens; who may reach it is the affair of `serve`.

mod deliver;
mod sockets;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokensocket_server::{
    Actions, AllowedOrigins, Auth, BuildError, Channel, ChannelOptions, Data, History, Identity, Presence,
    RawJson, RpcError, Server, Socket, TokenRequest,
};

use crate::site::Site;
use crate::storage::Storage;
use sockets::Offers;

/// Where it issues tokens.
pub(crate) const TOKEN_PATH: &str = "/socket/token";
/// Where its sockets are.
pub(crate) const SOCKET_PREFIX: &str = "/sockets";

/// How many publications a channel keeps: what a page that opens wants to show, and a night of a quiet channel.
const HISTORY_COUNT: usize = 100;
/// For how long.
const HISTORY_AGE: Duration = Duration::from_hours(24);
/// Who gives no name. It is no user, since all of them would be the same one.
const NOBODY: &str = "anonymous";

/// Who holds a token here: a name that nobody has checked.
#[derive(Serialize, Deserialize)]
struct Visitor {
    user: String,
}

/// The one site there is: everybody is let in.
pub(crate) fn site(origins: Vec<String>, storage: &Storage) -> anyhow::Result<Site> {
    let allowed = match &*origins {
        [] => AllowedOrigins::any(),
        some => AllowedOrigins::named(some),
    };
    Ok(Site::open(build(allowed, storage)?, origins)?)
}

/// Builds the server. Nothing runs yet.
fn build(origins: AllowedOrigins, storage: &Storage) -> Result<Server, BuildError> {
    let offers = Offers::default();
    let builder = Server::builder()
        .authenticate(|request: TokenRequest| async move { Ok(identity(&request)) })
        .token_path(TOKEN_PATH)
        .socket_prefix(SOCKET_PREFIX)
        .allowed_origins(origins)
        .state(offers.clone())
        .actions(actions())
        .channels(">", channels())
        .on_subscribe_pattern(|_, _| async { Ok(()) })
        .on_history(|_, _| async { Ok(()) })
        .on_presence(|_, _| async { Ok(()) })
        .on_authenticate(|socket| async move {
            tracing::debug!(socket = %socket.id(), identity = %socket.identity().data(), "connected");
            Ok(())
        })
        .on_disconnect(move |socket, close| {
            offers.withdraw(&socket);
            async move {
                tracing::debug!(socket = %socket.id(), %close, "disconnected");
            }
        });
    storage.serve(builder).build()
}

/// What every channel does.
fn channels() -> ChannelOptions {
    let history = History::new(HISTORY_COUNT, HISTORY_AGE);
    ChannelOptions::new().history(history).presence(Presence::new().announce())
}

/// Who asks is whom it says: `?user=ann&rooms=kitchen,garden`.
fn identity(request: &TokenRequest) -> Identity {
    let Some(user) = request.query("user").filter(|user| !user.is_empty()) else {
        return Identity::new(Visitor { user: NOBODY.to_owned() });
    };
    let rooms = request.query("rooms").unwrap_or_default();
    let rooms = rooms.split(',').map(str::trim).filter(|room| !room.is_empty());
    Identity::new(Visitor { user: user.clone() }).user(user).rooms(rooms)
}

fn actions() -> Actions {
    Actions::new()
        .action("actions", |server: Server| async move { Ok::<_, RpcError>(server.actions()) })
        .action("echo", |Data(value): Data<RawJson>| async move { Ok::<_, RpcError>(value) })
        .action("time", async || {
            Ok::<_, RpcError>(humantime::format_rfc3339_millis(SystemTime::now()).to_string())
        })
        .action("whoami", whoami)
        .action("deliver", deliver::deliver)
        .nest("sockets", sockets::actions())
}

async fn whoami(Auth(Visitor { user }): Auth<Visitor>, socket: Socket) -> Result<Value, RpcError> {
    let channels = socket.channels();
    Ok(json!({
        "user": user,
        "socket": socket.id().to_string(),
        "channels": channels.iter().map(Channel::as_str).collect::<Vec<_>>(),
    }))
}
