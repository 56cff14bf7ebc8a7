//! `tokensocket deliver`: one event, kept for the devices of users.
//!
//! In: whom it is for, an event and its arguments. Out: for how many devices it is kept now.

use std::io::{self, Write};

use clap::{ArgGroup, Args};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokensocket_client::RawJson;

use super::connection::{Address, Who};
use super::json_argument::JsonArgument;
use super::manual;

/// Keeps an event for the devices of users until they have it
///
/// Calls the action `deliver` of `tokensocket serve`, which keeps EVENT with its arguments for each device of
/// those it is for, sends it to those that are connected, and to the others when they come back. It is kept until the
/// device acknowledges it, a week at most. A device is what connected with a name of its own, as
/// `tokensocket receive --device` does, within the last hour or since.
///
/// The command ends when the event is on the server's disk, and says for how many devices.
#[derive(Args)]
#[command(
    group = ArgGroup::new("to").required(true),
    after_long_help = manual::sections(&[
        ("Examples", "  \
  tokensocket deliver --user ann order '{\"id\":7}'
  tokensocket deliver --user ann --user ben order 7 '\"tea\"' --key order-7
  tokensocket deliver --room kitchen order - <order.json
  tokensocket deliver --everyone closing"),
        manual::EXIT_STATUS,
        manual::ENVIRONMENT,
    ]),
)]
pub(super) struct Deliver {
    /// To the devices of this user; give it again for more
    #[arg(long, value_name = "NAME", group = "to")]
    user: Vec<String>,
    /// To the devices of everybody in this room
    #[arg(long, value_name = "NAME", group = "to", conflicts_with = "user")]
    room: Option<String>,
    /// To all devices
    #[arg(long, group = "to", conflicts_with_all = ["user", "room"])]
    everyone: bool,
    /// The event's name
    event: String,
    /// Its arguments, each as JSON; `-` reads one from standard input
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    args: Vec<JsonArgument>,
    /// A name of this delivery: within five minutes, the same name is the same delivery
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// A device that acknowledges it before an earlier one of the same event has to fetch everything anew
    #[arg(long)]
    resync: bool,
    /// Say what happened as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

#[derive(Deserialize)]
struct Delivered {
    devices: u64,
    duplicate: bool,
}

impl Deliver {
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let data = self.data()?;
        let called = self.address.in_time(async {
            let socket = self.address.open(&Who::default(), false).await?;
            let answer = socket.rpc::<Delivered>("deliver", &data).await;
            Ok((socket, answer))
        });
        let (socket, answer) = called.await?;
        socket.end().await;
        Ok(self.print(&answer?)?)
    }

    fn data(&mut self) -> anyhow::Result<Map<String, Value>> {
        let args = self.args.drain(..).map(JsonArgument::read).collect::<Result<Vec<RawJson>, _>>()?;
        let mut data = Map::new();
        match &self.room {
            Some(room) => data.insert("room".to_owned(), json!(room)),
            None if self.everyone => data.insert("everyone".to_owned(), json!(true)),
            None => data.insert("users".to_owned(), json!(self.user)),
        };
        data.insert("event".to_owned(), json!(self.event));
        data.insert("args".to_owned(), json!(args));
        data.insert("resync".to_owned(), json!(self.resync));
        if let Some(key) = &self.key {
            data.insert("key".to_owned(), json!(key));
        }
        Ok(data)
    }

    fn print(&self, Delivered { devices, duplicate }: &Delivered) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return writeln!(out, "{}", json!({ "devices": devices, "duplicate": duplicate }));
        }
        match (duplicate, devices) {
            (true, _) => writeln!(out, "{} was delivered before under this key", self.event),
            (false, 0) => writeln!(out, "{} is kept for nobody: no device of theirs is known", self.event),
            (false, 1) => writeln!(out, "{} is kept for 1 device", self.event),
            (false, _) => writeln!(out, "{} is kept for {devices} devices", self.event),
        }
    }
}
