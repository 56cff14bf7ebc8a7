//! `tokensocket receive`: what is delivered to a device.
//!
//! In: events, a user and its device. Out: one line on standard output for each delivery, and on standard error
//! whatever else happens. A delivery is acknowledged when its line is written.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use anstyle::Style;
use clap::Args;
use humantime::format_duration;
use parking_lot::Mutex;
use serde_json::json;
use tokensocket_client::{Delivery, Resync, ResyncReason, Settings, TokenSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::connection::{Address, Who};
use super::manual;
use crate::signals::Signals;

/// How long the server's settings may follow what made the socket ready.
const SETTINGS: Duration = Duration::from_secs(2);

/// Receives what is delivered to a device
///
/// Connects as the device of a user, and prints one line for each delivery of each EVENT: the event, a tab, and its
/// arguments as a JSON array. Deliveries come in the order in which they were accepted, those first that were
/// kept while the device was away. Each is acknowledged when it is printed, and then comes no more. What comes for
/// other events is kept. It runs until Ctrl-C, or until --count deliveries came.
///
/// The device is remembered for an hour after it was here, unless the server says otherwise; so name it the same each
/// time. Without a name it is forgotten with the connection. When the server could not keep everything,
/// standard error says that deliveries were lost, and of which event.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket receive order --user ann --device phone
  tokensocket receive order closing --user ben --room kitchen --device till --json
  tokensocket receive order --user ann --device phone --count 1"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Receive {
    /// The events
    #[arg(required = true, value_name = "EVENT")]
    events: Vec<String>,
    /// Whose device: sent with the token request as the query `user`
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The rooms that the user is in from now on: sent as the query `rooms`, with commas between them
    #[arg(long, value_name = "NAME")]
    room: Vec<String>,
    /// The device's name, 1 to 128 bytes
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Print each delivery as a JSON object with `event` and `args`
    #[arg(long)]
    json: bool,
    /// End after this many deliveries
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    address: Address,
}

/// The server lets the user in, and delivers nothing to it.
#[derive(Debug, thiserror::Error)]
#[error("the server delivers nothing to {0}: it names no users, or keeps nothing for devices")]
struct NothingDelivered(String);

impl Receive {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        let (socket, deliveries) = tokio::select! {
            connected = self.address.in_time(self.connect()) => connected?,
            () = signals.next() => return Ok(()),
        };
        let printed = tokio::select! {
            printed = self.print_all(deliveries) => printed,
            () = signals.next() => Ok(()),
        };
        socket.end().await;
        printed
    }

    async fn connect(&self) -> anyhow::Result<(TokenSocket, mpsc::UnboundedReceiver<Delivery>)> {
        let who = Who { user: Some(&self.user), rooms: &self.room, device: self.device.as_deref() };
        let socket = self.address.connect(&who, true)?;
        // Unbounded here, and bounded where it comes from: until it is acknowledged it is in the device's queue.
        let (hand, deliveries) = mpsc::unbounded_channel();
        for event in &self.events {
            let hand = hand.clone();
            socket.on_delivery_by_hand(event, move |delivery| {
                // When nobody takes it any more, it is given back.
                let _ = hand.send(delivery);
            });
        }
        socket.on_resync(|resync| async move {
            tell_of_resync(&resync);
            Ok::<_, Infallible>(())
        });
        // Said where the connection runs, so that it comes before whatever is told of deliveries.
        let (greet, greeted) = oneshot::channel();
        let greet = Mutex::new(Some((greet, self.greeting())));
        socket.on_settings(move |settings| {
            if let Some((greet, greeting)) = greet.lock().take() {
                greeting(settings);
                let _ = greet.send(());
            }
        });
        self.address.ready(&socket).await?;
        // They follow right behind what made the socket ready.
        if !matches!(timeout(SETTINGS, greeted).await, Ok(Ok(()))) {
            return Err(NothingDelivered(self.user.clone()).into());
        }
        socket.on_disconnect(|why| eprintln!("connection lost: {why}; reconnecting"));
        socket.on_reconnect(|outcome| match outcome {
            Ok(()) => eprintln!("connected again; what was kept meanwhile comes now"),
            Err(why) => tracing::info!(%why, "no connection yet"),
        });
        Ok((socket, deliveries))
    }

    /// Says that it receives, once it does.
    fn greeting(&self) -> impl FnOnce(&Settings) + Send + Sync + use<> {
        let (events, user, device) = (self.events.join(", "), self.user.clone(), self.device.clone());
        move |settings| {
            let Some(device) = device else {
                eprintln!("receiving {events} for {user}; nothing is kept without --device");
                return;
            };
            let kept = format_duration(Duration::from_secs(settings.device_ttl));
            eprintln!("receiving {events} for {user} on {device}; kept for {kept} while it is away");
        }
    }

    async fn print_all(&self, mut deliveries: mpsc::UnboundedReceiver<Delivery>) -> anyhow::Result<()> {
        let mut left = self.count;
        while left != Some(0) {
            let Some(delivery) = deliveries.recv().await else {
                anyhow::bail!("the connection ended for good: the server does not let us in again");
            };
            self.print(&delivery)?;
            delivery.acknowledge();
            left = left.map(|left| left - 1);
        }
        Ok(())
    }

    fn print(&self, delivery: &Delivery) -> io::Result<()> {
        let (event, args) = (delivery.event(), delivery.args());
        let mut out = anstream::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ "event": event, "args": args }))?;
        } else {
            let style = Style::new().bold();
            writeln!(out, "{style}{event}{style:#}\t{args}")?;
        }
        out.flush()
    }
}

fn tell_of_resync(Resync { event, reason }: &Resync) {
    let what = event.as_deref().map_or_else(String::new, |event| format!(" of {event}"));
    let why = match reason {
        ResyncReason::Order => "they were acknowledged out of order",
        ResyncReason::Overflow => "more came than is kept",
        ResyncReason::Expired => "they were kept for too long",
        ResyncReason::Lost => "the server lost them",
    };
    eprintln!("deliveries{what} were lost: {why}; fetch what they were about");
}
