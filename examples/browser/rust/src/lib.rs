//! A page written in Rust: calls, is called, and follows a channel.
//!
//! It connects to the server that `?server=` names, such as the example `playground`, or to where it came
//! from, and writes what happens into the element `log`. It uses the DOM by hand, so that nothing stands between you and the client; in Leptos,
//! Yew or Dioxus the same calls stand in a component.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokensocket_wasm::{Actions, Data, RpcError, TokenSocket};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

/// Runs when the page has loaded this.
#[wasm_bindgen(start)]
pub fn start() {
    spawn_local(async {
        if let Err(error) = run().await {
            log(&format!("stopped: {error}"));
        }
    });
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let socket = TokenSocket::builder(server())
        .authentication(&json!({ "user": "ferris" }))
        .actions(Actions::new().action("greet", greet))
        .connect()?;
    socket.on_disconnect(|error| log(&format!("disconnected: {error}")));
    socket.on_reconnect(|outcome| log(&format!("reconnected: {}", outcome.is_ok())));
    socket.ready().await?;
    log("ready");

    let answer: Value = socket.rpc("echo", &json!({ "sum": 1 + 2 })).await?;
    log(&format!("echo answers {answer}"));

    // The playground's action `callme` calls back whoever calls it.
    let greeting: String = socket.rpc("callme", &json!({ "command": "greet", "args": "Ada" })).await?;
    log(&format!("and was answered {greeting:?}"));

    let mut news = socket.subscribe("news").await?.typed::<String>();
    socket.publish("news", "something happened").await?;
    while let Some(item) = news.next().await {
        log(&format!("news: {}", item?));
    }
    Ok(())
}

/// What the server may call.
async fn greet(Data(name): Data<String>) -> Result<String, RpcError> {
    log(&format!("the server greets as {name}"));
    Ok(format!("Hello, {name}"))
}

/// What `?server=` says; empty for where the page came from.
fn server() -> String {
    let query = web_sys::window().and_then(|window| window.location().search().ok()).unwrap_or_default();
    query.strip_prefix("?server=").unwrap_or_default().to_owned()
}

fn log(line: &str) {
    let Some(document) = web_sys::window().and_then(|window| window.document()) else { return };
    let (Some(log), Ok(item)) = (document.get_element_by_id("log"), document.create_element("li")) else {
        return;
    };
    item.set_text_content(Some(line));
    // What fails to be shown harms nobody.
    let _ = log.append_child(&item);
}
