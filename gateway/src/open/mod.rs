//! The server that runs while nothing is configured: open to anybody who can reach it.
//!
//! In: the origins whose pages may ask for tokens. Out: a server that gives everybody a token, with a few
//! actions to try. It must not know where it listens; who may reach it is the affair of `serve`.

mod sockets;

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokensocket_server::{
    Actions, AllowedOrigins, Auth, BuildError, Channel, Data, Identity, RawJson, RpcError, Server, Socket,
    TokenRequest,
};

use sockets::Offers;

/// Where it issues tokens.
pub(crate) const TOKEN_PATH: &str = "/socket/token";
/// Where its sockets are.
pub(crate) const SOCKET_PREFIX: &str = "/sockets";

/// Who holds a token here: a name that nobody has checked.
#[derive(Serialize, Deserialize)]
struct Visitor {
    user: String,
}

/// Builds the server. Nothing runs yet.
pub(crate) fn build(origins: AllowedOrigins) -> Result<Server, BuildError> {
    let offers = Offers::default();
    Server::builder()
        .authenticate(|request: TokenRequest| async move {
            let user = request.query("user").unwrap_or_else(|| "anonymous".to_owned());
            Ok(Identity::new(Visitor { user }))
        })
        .token_path(TOKEN_PATH)
        .socket_prefix(SOCKET_PREFIX)
        .allowed_origins(origins)
        .state(offers.clone())
        .actions(actions())
        .on_authenticate(|socket| async move {
            tracing::debug!(socket = %socket.id(), identity = %socket.identity().data(), "connected");
            Ok(())
        })
        .on_disconnect(move |socket, close| {
            offers.withdraw(&socket);
            async move {
                tracing::debug!(socket = %socket.id(), %close, "disconnected");
            }
        })
        .build()
}

fn actions() -> Actions {
    Actions::new()
        .action("actions", |server: Server| async move { Ok::<_, RpcError>(server.actions()) })
        .action("echo", |Data(value): Data<RawJson>| async move { Ok::<_, RpcError>(value) })
        .action("time", async || {
            Ok::<_, RpcError>(humantime::format_rfc3339_millis(SystemTime::now()).to_string())
        })
        .action("whoami", whoami)
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
