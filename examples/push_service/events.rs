//! Event clients: what they may ask for, and what becomes of the rest.

use std::time::Duration;

use serde_json::json;
use tokensocket_server::ServerBuilder;
use tokensocket_server::events::{EventMessage, EventMode, EventOptions, EventSocket};

/// How long `later` takes.
const LATER: Duration = Duration::from_millis(200);

/// An endpoint for each mode, with a token or without.
pub(crate) fn endpoints(server: ServerBuilder) -> ServerBuilder {
    ["false", "true", "data", "passthrough"].into_iter().fold(server, |server, mode| {
        let path = if mode == "false" { "off" } else { mode };
        server.events(&format!("/events/{path}"), options(EventMode::from_setting(mode)))
    })
}

fn options(mode: EventMode) -> EventOptions {
    EventOptions::new(mode)
        .open()
        .data_source("thing", |_| async { Ok(json!({ "name": "thing", "n": 1 })) })
        .data_source("later", |_| async {
            tokio::time::sleep(LATER).await;
            Ok(json!({ "name": "later" }))
        })
        .on_event(|message: EventMessage, socket: EventSocket| async move {
            if message.event() == "echo:message" {
                // A message that came as JSON can be sent as JSON.
                let _ = socket.emit("echo:reply", message.json());
            }
        })
}
