//! Fan-out: one publisher, many subscribers of one channel.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Bench, at_least_one,
    measure::{Board, measure},
    payload, while_running,
};
use crate::{
    dialect::{Dialect, Incoming, PUBLICATIONS},
    error::BenchError,
    report::Report,
    socket::{Connection, Template, connection::PATIENCE},
};

/// One publisher, many subscribers.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FanOut {
    /// Sockets that follow the channel.
    #[arg(long, default_value_t = 1000)]
    pub subscribers: usize,
    /// Publications under way at once: the next is sent when the oldest has
    /// reached every subscriber.
    #[arg(long, default_value_t = 1)]
    pub in_flight: usize,
    /// Bytes of each publication's message, a JSON string.
    #[arg(long, default_value_t = 128)]
    pub payload: usize,
    /// Publications per second; without it as many as get through. A delivery's
    /// latency then counts from when its publication was due, to the millisecond.
    #[arg(long)]
    pub rate: Option<f64>,
}

impl Default for FanOut {
    fn default() -> Self {
        Self { subscribers: 1000, in_flight: 1, payload: 128, rate: None }
    }
}

pub(crate) async fn run<D: Dialect>(fan_out: &FanOut, bench: &Bench<'_, D>) -> Result<Report, BenchError> {
    let subscribers = at_least_one("the number of subscribers", fan_out.subscribers)?;
    at_least_one("the number of publications in flight", fan_out.in_flight)?;
    let board = Board::new()?;
    let flight = Rc::new(Flight::new(subscribers));
    let mut tasks = JoinSet::new();
    for connection in bench.open_many(subscribers, 1).await? {
        tasks.spawn_local(follow(connection, Rc::clone(&flight), Rc::clone(&board)));
    }
    let data = payload(fan_out.payload);
    let template = Template::new(bench.dialect.opcode(), |id, out| {
        bench.dialect.publish(id, super::CHANNEL, &data, out);
    });
    let connection = bench.open().await?;
    let publisher = Publisher { connection, template, flight: Rc::clone(&flight), next: PUBLICATIONS };
    match fan_out.rate {
        Some(rate) if rate > 0.0 => tasks.spawn_local(publisher.at_rate(rate)),
        _ => tasks.spawn_local(publisher.keep(fan_out.in_flight)),
    };
    let measured = measure("deliveries", &board, bench.target, bench.options);
    let report = while_running(&mut tasks, measured).await?;
    while_running(&mut tasks, flight.finish()).await?;
    Ok(report)
}

/// Publications that have not reached every subscriber, oldest first.
#[derive(Debug)]
pub(super) struct Flight {
    subscribers: usize,
    landed: Cell<u64>,
    under_way: RefCell<VecDeque<Publication>>,
    oldest_landed: Notify,
    over: Cell<bool>,
    all_landed: Notify,
}

#[derive(Debug)]
struct Publication {
    sent: Instant,
    missing: usize,
}

impl Flight {
    pub(super) fn new(subscribers: usize) -> Self {
        Self {
            subscribers,
            landed: Cell::new(0),
            under_way: RefCell::default(),
            oldest_landed: Notify::new(),
            over: Cell::new(false),
            all_landed: Notify::new(),
        }
    }

    fn take_off(&self, sent: Instant) {
        self.under_way.borrow_mut().push_back(Publication { sent, missing: self.subscribers });
    }

    fn under_way(&self) -> usize {
        self.under_way.borrow().len()
    }

    /// A subscriber got its `index`th publication. Says when that was sent;
    /// none when nobody sent it.
    fn land(&self, index: u64) -> Option<Instant> {
        let mut under_way = self.under_way.borrow_mut();
        let place = usize::try_from(index.checked_sub(self.landed.get())?).ok()?;
        let publication = under_way.get_mut(place)?;
        publication.missing -= 1;
        let sent = publication.sent;
        // Order per channel makes the oldest the first to be complete.
        while under_way.front().is_some_and(|oldest| oldest.missing == 0) {
            under_way.pop_front();
            self.landed.set(self.landed.get() + 1);
            self.oldest_landed.notify_one();
        }
        if under_way.is_empty() {
            self.all_landed.notify_one();
        }
        Some(sent)
    }

    /// Ends publishing and waits for what is under way, so that a delivery
    /// that got lost is an error and not a better figure.
    pub(super) async fn finish(&self) -> Result<(), BenchError> {
        self.over.set(true);
        let all_landed = async {
            while self.under_way() > 0 {
                self.all_landed.notified().await;
            }
        };
        timeout(PATIENCE, all_landed).await.map_err(|_| {
            BenchError::Undelivered(
                self.under_way.borrow().iter().map(|publication| publication.missing).sum(),
            )
        })
    }
}

/// Counts each delivery once: the `n`th publication that a subscriber gets is
/// the `n`th that was sent, as the order of a channel has it.
pub(super) async fn follow<D: Dialect>(
    mut connection: Connection<D>,
    flight: Rc<Flight>,
    board: Rc<Board>,
) -> Result<(), BenchError> {
    let mut seen = 0;
    loop {
        let mut now = None;
        let mut unsent = false;
        connection
            .receive(|incoming, _| {
                if incoming != Incoming::Publication {
                    return;
                }
                match flight.land(seen) {
                    Some(sent) => {
                        let now = *now.get_or_insert_with(Instant::now);
                        board.record(now.saturating_duration_since(sent));
                    }
                    None => unsent = true,
                }
                seen += 1;
            })
            .await?;
        if unsent {
            return Err(BenchError::Unsent);
        }
    }
}

pub(super) struct Publisher<D> {
    pub(super) connection: Connection<D>,
    pub(super) template: Template,
    pub(super) flight: Rc<Flight>,
    pub(super) next: u64,
}

impl<D: Dialect> Publisher<D> {
    /// Keeps `in_flight` publications under way.
    pub(super) async fn keep(mut self, in_flight: usize) -> Result<(), BenchError> {
        let flight = Rc::clone(&self.flight);
        loop {
            while !flight.over.get() && flight.under_way() < in_flight {
                self.publish(Instant::now());
            }
            self.connection.flush().await?;
            tokio::select! {
                () = flight.oldest_landed.notified() => {}
                read = self.connection.receive(|_, _| {}) => read?,
            }
        }
    }

    /// Publishes `rate` times a second, however long deliveries take.
    async fn at_rate(mut self, rate: f64) -> Result<(), BenchError> {
        let mut due = interval(Duration::from_secs_f64(1.0 / rate));
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                at = due.tick() => {
                    if self.flight.over.get() {
                        continue;
                    }
                    self.publish(at.into_std());
                    self.connection.flush().await?;
                }
                read = self.connection.receive(|_, _| {}) => read?,
            }
        }
    }

    fn publish(&mut self, sent: Instant) {
        self.flight.take_off(sent);
        self.connection.outgoing().send(&self.template, self.next);
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_lands_when_every_subscriber_has_it() {
        let flight = Flight::new(2);
        let now = Instant::now();
        flight.take_off(now);
        flight.take_off(now);
        assert_eq!(flight.land(0), Some(now));
        assert_eq!(flight.land(1), Some(now));
        assert_eq!(flight.under_way(), 2);
        assert_eq!(flight.land(0), Some(now));
        assert_eq!(flight.under_way(), 1);
        assert_eq!(flight.land(1), Some(now));
        assert_eq!(flight.under_way(), 0);
    }

    #[test]
    fn what_nobody_sent_does_not_land() {
        let flight = Flight::new(1);
        assert_eq!(flight.land(0), None);
        flight.take_off(Instant::now());
        assert!(flight.land(0).is_some());
        assert_eq!(flight.land(0), None);
    }
}
