//! A page written in Rust: calls, is called, follows a channel, and handles what is delivered to it.
//!
//! It connects to the server that `?server=` names, such as the example `playground`, or to where it came
//! from, and writes what happens into the element `log`. It uses the DOM by hand, so that nothing stands between you and the client; in Leptos,
//! Yew or Dioxus the same calls stand in a component.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokensocket_wasm::{Actions, Data, HistoryQuery, PresenceQuery, RpcError, SubscribeOptions, TokenSocket};
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

    // What the server delivers to this device is kept there until the handler has answered.
    socket.on_delivery("order", |(id, total): (u32, f64)| async move {
        log(&format!("order {id}: {total}"));
        Ok::<_, RpcError>(())
    });
    let order = json!({ "users": ["ferris"], "event": "order", "args": [7, 12.5] });
    let delivered: Value = socket.rpc("deliver", &order).await?;
    log(&format!("delivered to {} device", delivered["devices"]));

    // Its history is recovered after a lost connection, and others who come are told.
    socket.on_join(|channel, member| log(&format!("{} came to {channel}", member.info)));
    let options = SubscribeOptions::new().presence();
    let mut news = socket.subscribe_with("kept.news", options).await?.typed::<String>();
    let there = socket.presence("kept.news", PresenceQuery::new()).await?;
    log(&format!("{} of us here", there.clients));
    socket.publish("kept.news", "something happened").await?;
    let history = socket.history("kept.news", HistoryQuery::new().limit(1).reverse()).await?;
    if let Some(last) = history.publications.first() {
        log(&format!("the history ends with {}", last.message));
    }
    while let Some(item) = news.next().await {
        match item {
            Ok(item) => log(&format!("news: {item}")),
            Err(error) => log(&format!("news: {error}")),
        }
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
