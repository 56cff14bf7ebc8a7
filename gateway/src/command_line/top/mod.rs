//! `tokensocket top`: what a gateway does, as it does it.
//!
//! ```text
//! the gateway's status, again and again ─▶ watch ─▶ screen ─▶ the terminal
//! keys ───────────────────────────────────▲       └▶ lines, where there is none
//! ```

mod lines;
mod screen;
mod watch;

use std::future::pending;
use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt;
use humantime::parse_duration;
use ratatui::DefaultTerminal;
use tokio::time::{MissedTickBehavior, interval};

use super::gateway::{Gateway, GatewayError, OpenGateway};
use super::manual;
use super::site_status::{PATH, Status};
use crate::signals::Signals;
use watch::{Outcome, Watch};

/// More often, and the asking is most of what is seen.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// Shows what a gateway does, as it does it
///
/// A live view of connections, messages and deliveries a second, queues and slow consumers, for each site that the
/// key opens, or all sites of which the configuration has the keys. `s` sorts by the next column, `r` the other way round, the arrow keys scroll, `q` ends it.
///
/// A slow consumer is a connection for which more waits than it reads; the gateway ends it when its queue is
/// full. What the gateway does not count is not shown. When the gateway cannot be reached any more,
/// the last that was known stays, with a word that it is old.
///
/// Where standard output is no terminal, or with --json, it prints lines in place of the view: one for each site
/// and moment.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket top
  tokensocket top --config /etc/tokensocket --interval 5s
  tokensocket top --json --count 60 >minute.ndjson"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Top {
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = often)]
    interval: Duration,
    /// End after having looked so many times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print each site at each moment as a JSON object, on a terminal too
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: Gateway,
}

fn often(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    if interval < SHORTEST_INTERVAL { Err("not more often than each 50ms".to_owned()) } else { Ok(interval) }
}

impl Top {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let gateway = self.gateway.open()?;
        let mut signals = Signals::new()?;
        // What cannot be seen at all is told as every command tells it, before anything is drawn.
        let first = Status::all(gateway.get_all(PATH).await?);
        let watch = Watch::new(gateway.url(), first);
        if !self.json && io::stdout().is_terminal() {
            let mut terminal = ratatui::try_init()?;
            let ended = self.show(&mut terminal, watch, &gateway, &mut signals).await;
            ratatui::try_restore()?;
            return ended;
        }
        tokio::select! {
            printed = self.print(watch, &gateway) => printed,
            () = signals.next() => Ok(()),
        }
    }

    /// Draws until a key, a signal or the count ends it.
    async fn show(
        &self,
        terminal: &mut DefaultTerminal,
        mut watch: Watch,
        gateway: &OpenGateway,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        let mut keys = Some(EventStream::new());
        let mut left = self.count.map(|count| count - 1);
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        // Asked beside the keys, so that a gateway that hangs does not hold them up.
        let mut asking = None;
        loop {
            terminal.draw(|frame| screen::draw(frame, &mut watch))?;
            tokio::select! {
                event = next(&mut keys) => match event {
                    Some(Ok(Event::Key(key))) if key.kind == KeyEventKind::Press => {
                        if watch.press(key) == Outcome::End {
                            return Ok(());
                        }
                    }
                    Some(Ok(_)) => {}
                    // Without a terminal to read from, only signals end it.
                    Some(Err(_)) | None => keys = None,
                },
                _ = ticks.tick(), if asking.is_none() => {
                    if left == Some(0) {
                        return Ok(());
                    }
                    left = left.map(|left| left - 1);
                    asking = Some(Box::pin(gateway.get_all::<Status>(PATH)));
                }
                answer = answer(&mut asking) => {
                    asking = None;
                    match answer {
                        Ok(parts) => watch.see(Status::all(parts)),
                        Err(error) => watch.lose(&error),
                    }
                }
                () = signals.next() => return Ok(()),
            }
        }
    }

    /// Prints until the count ends it, or the gateway does.
    async fn print(&self, mut watch: Watch, gateway: &OpenGateway) -> anyhow::Result<()> {
        let mut left = self.count;
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            lines::print(&watch, self.json)?;
            left = left.map(|left| left - 1);
            if left == Some(0) {
                return Ok(());
            }
            ticks.tick().await;
            watch.see(Status::all(gateway.get_all(PATH).await?));
        }
    }
}

async fn next(keys: &mut Option<EventStream>) -> Option<io::Result<Event>> {
    match keys {
        Some(keys) => keys.next().await,
        None => pending().await,
    }
}

async fn answer<F>(asking: &mut Option<F>) -> Result<Vec<Status>, GatewayError>
where
    F: Future<Output = Result<Vec<Status>, GatewayError>> + Unpin,
{
    match asking {
        Some(asking) => asking.await,
        None => pending().await,
    }
}
