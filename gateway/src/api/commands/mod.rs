//! The operations of `/api/v1`: a file for each kind of thing that is asked.
//!
//! In: who asks, and what, as a type. Out: what the site's server said, as a type. They know neither paths nor JSON.

mod batch;
mod call;
mod channels;
mod deliver;
mod disconnect;
mod history;
mod pages;
mod presence;
mod publish;
mod sockets;
mod status;
mod tokens;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operation::{Operation, Table};
use super::problem::Problem;

pub(super) use batch::of_lines;

/// How many items a page has, unless it is asked for another number.
const PAGE: usize = 100;
/// The most items of a page.
const LARGEST_PAGE: usize = 1_000;
/// The most users, rooms or sockets that one command names.
const MOST_NAMES: usize = 10_000;
/// What means something else to Socket.IO clients of some versions: they would end their connection.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// All of them.
pub(super) fn table() -> Table {
    Table::new(vec![
        Operation::post("/publish", "publish", "Publishes on a channel", publish::publish)
            .that_keeps()
            .that_waits(),
        Operation::post("/broadcast", "broadcast", "Publishes on every channel", publish::broadcast)
            .that_waits(),
        Operation::post(
            "/emit",
            "emit",
            "Sends to users or everybody who is connected; nothing is kept",
            publish::emit,
        )
        .that_waits(),
        Operation::post("/deliver", "deliver", "Keeps an event for devices, and sends it", deliver::deliver)
            .that_keeps()
            .that_waits(),
        Operation::post("/call", "call", "Calls an action of a client, and waits for its answer", call::call),
        Operation::post("/disconnect", "disconnect", "Closes sockets", disconnect::disconnect).that_waits(),
        Operation::post(
            "/tokens",
            "issueToken",
            "Issues a token for a user, good for one connection",
            tokens::issue,
        )
        .that_keeps(),
        Operation::post("/batch", "batch", "Does up to 1,000 commands in their order", batch::batch)
            .of_many()
            .that_waits(),
        Operation::get("/history", "history", "What a channel keeps", history::history),
        Operation::get("/presence", "presence", "Who is on a channel", presence::presence),
        Operation::get("/channels", "channels", "The channels that somebody follows", channels::channels),
        Operation::get("/sockets", "sockets", "Who is connected", sockets::sockets),
        Operation::get("/sockets/{socket}", "socket", "One socket", sockets::socket),
        Operation::delete("/sockets/{socket}", "closeSocket", "Closes one socket", disconnect::close),
        Operation::get("/status", "status", "How the site does", status::status),
    ])
}

/// One name, or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "one name, or a list of names")]
pub(super) enum Names {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Names {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Several(names) => names,
        }
    }

    /// Not too many of them.
    fn bounded(self) -> Result<Vec<String>, Problem> {
        let names = self.into_vec();
        if names.len() > MOST_NAMES {
            return Err(Problem::bad_request(format!("one command names at most {MOST_NAMES}")));
        }
        Ok(names)
    }
}

/// There is nothing to say.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Done")]
struct Done {}

/// Refuses an event that would end the connections of some clients.
pub(super) fn check_event(name: &str) -> Result<(), Problem> {
    if RESERVED.contains(&name) {
        let say = format!("`{name}` means something else to Socket.IO clients: take another name");
        return Err(Problem::bad_request(say));
    }
    Ok(())
}

/// How many items a caller gets: a page, or all in lines.
fn limit(asked: Option<usize>, in_lines: bool) -> usize {
    match asked {
        Some(asked) if in_lines => asked,
        None if in_lines => usize::MAX,
        asked => asked.unwrap_or(PAGE).clamp(1, LARGEST_PAGE),
    }
}
