//! Sends over HTTP to devices of a site: `POST /send`, as an application beside
//! a push service makes them.

use std::{cell::RefCell, fmt::Write as _, rc::Rc, time::Instant};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, task::JoinSet, time::timeout};

use super::{
    Bench, at_least_one,
    measure::{Board, measure},
    open_all, payload, while_running,
};
use crate::{
    dialect::{
        Dialect, Incoming,
        push::{EVENT, Push},
    },
    error::BenchError,
    report::Report,
    socket::{Address, Connection, Exchange, ReadBuffer, connection::PATIENCE, response::Part},
};

/// Where the numbers of requests begin: all have twelve digits.
const FIRST: u64 = 100_000_000_000;

/// The room that every device is in.
pub(crate) const EVERYONE: &str = "everyone";

/// Whom a request is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Whom {
    /// One device that is connected, another each time.
    #[default]
    Device,
    /// All devices, which are connected, by the room `everyone`.
    Room,
    /// One device that was connected before, another each time.
    Offline,
}

/// Sends to devices of a site.
///
/// A client's token is `bench-N`, and its rooms must be `user_bench-N` and
/// `everyone`; the site's prefix of users is `user_`.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Send {
    /// Whom each request is for.
    #[arg(long, value_enum, default_value_t)]
    pub to: Whom,
    /// Devices, each of a user of its own.
    #[arg(long, default_value_t = 1000)]
    pub devices: usize,
    /// Requests under way at once, each on a connection of its own that is kept:
    /// the next is made when the one before is answered and every device has it.
    #[arg(long, default_value_t = 64)]
    pub callers: usize,
    /// Bytes of each event's second argument, a JSON string.
    #[arg(long, default_value_t = 128)]
    pub payload: usize,
    /// The site.
    #[arg(long, default_value = "newsite")]
    pub site: String,
    /// The site's key.
    #[arg(long, default_value = "54321")]
    pub key: String,
}

impl Send {
    /// The usual load.
    pub fn to(whom: Whom) -> Self {
        let (devices, callers) = if whom == Whom::Room { (100, 4) } else { (1000, 64) };
        Self { to: whom, devices, callers, payload: 128, site: "newsite".to_owned(), key: "54321".to_owned() }
    }
}

/// Latencies run from when a request was written to when the last of its
/// devices had the event; to a device that is away, to when it was answered.
pub(crate) async fn run<D: Dialect>(send: &Send, bench: &Bench<'_, D>) -> Result<Report, BenchError> {
    let devices = at_least_one("the number of devices", send.devices)?;
    let callers = at_least_one("the number of callers", send.callers)?;
    let board = Board::new()?;
    let flight = Rc::new(Flight::new(callers, Rc::clone(&board)));
    let dialect = Push::to(&send.site);
    let open = |index| {
        let (dialect, address) = (dialect.for_follower(index), bench.node(index).clone());
        async move { Connection::open(dialect, &address).await }
    };
    let mut tasks = JoinSet::new();
    for connection in open_all(devices, open).await? {
        match send.to {
            Whom::Offline => connection.close().await?,
            _ => drop(tasks.spawn_local(take(connection, dialect.clone(), Rc::clone(&flight)))),
        }
    }
    for place in 0..callers {
        let caller = Caller { send: send.clone(), place, devices, flight: Rc::clone(&flight) };
        tasks.spawn_local(caller.run(bench.node(place).clone()));
    }
    let measured = measure("requests", &board, bench.target, bench.options);
    while_running(&mut tasks, measured).await
}

/// Takes what comes to a device and acknowledges it.
async fn take(mut connection: Connection<Push>, dialect: Push, flight: Rc<Flight>) -> Result<(), BenchError> {
    loop {
        let mut unsent = false;
        connection
            .receive(|incoming, outgoing| match incoming {
                Incoming::Delivery { id, number } => {
                    unsent |= !flight.land(number);
                    outgoing.text(&dialect.acknowledge(id));
                }
                // Sent to a device that had connected, but was still looking for what waits.
                Incoming::Batch { id, numbers } => {
                    unsent |= !numbers.into_iter().all(|number| flight.land(number));
                    outgoing.text(&dialect.acknowledge(id));
                }
                _ => {}
            })
            .await?;
        if unsent {
            return Err(BenchError::Unsent);
        }
    }
}

/// The request that each caller has under way.
struct Flight {
    slots: RefCell<Vec<Slot>>,
    board: Rc<Board>,
}

struct Slot {
    number: u64,
    sent: Instant,
    missing: usize,
    landed: Rc<Notify>,
}

impl Flight {
    fn new(callers: usize, board: Rc<Board>) -> Self {
        let slot = || Slot { number: 0, sent: Instant::now(), missing: 0, landed: Rc::default() };
        Self { slots: RefCell::new((0..callers).map(|_| slot()).collect()), board }
    }

    fn take_off(&self, caller: usize, number: u64, missing: usize) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(caller) {
            (slot.number, slot.sent, slot.missing) = (number, Instant::now(), missing);
        }
    }

    /// A device has it. False when that is nothing that is under way.
    fn land(&self, number: u64) -> bool {
        let mut slots = self.slots.borrow_mut();
        let caller = usize::try_from(number.saturating_sub(FIRST)).unwrap_or(0) % slots.len();
        let slot = &mut slots[caller];
        if slot.number != number || slot.missing == 0 {
            return false;
        }
        slot.missing -= 1;
        if slot.missing == 0 {
            self.board.record(slot.sent.elapsed());
            slot.landed.notify_one();
        }
        true
    }

    /// Waits until every device has what this caller sent.
    async fn landed(&self, caller: usize) -> Result<(), BenchError> {
        let missing = || self.slots.borrow().get(caller).map_or(0, |slot| slot.missing);
        let Some(landed) = self.slots.borrow().get(caller).map(|slot| Rc::clone(&slot.landed)) else {
            return Ok(());
        };
        let all = async {
            // It may have landed before anybody waited.
            while missing() > 0 {
                landed.notified().await;
            }
        };
        timeout(PATIENCE, all).await.map_err(|_| BenchError::Undelivered(missing()))
    }

    /// What was sent is for nobody who is there: its answer is all that comes.
    fn answered(&self, caller: usize) {
        let sent = self.slots.borrow().get(caller).map(|slot| slot.sent.elapsed());
        self.board.record(sent.unwrap_or_default());
    }
}

struct Caller {
    send: Send,
    place: usize,
    devices: usize,
    flight: Rc<Flight>,
}

impl Caller {
    async fn run(self, address: Address) -> Result<(), BenchError> {
        let mut exchange = Exchange::new(&address);
        let data = payload(self.send.payload);
        let mut turn = 0;
        loop {
            let index = self.place + turn * self.send.callers;
            let number = FIRST + index as u64;
            let missing = match self.send.to {
                Whom::Device => 1,
                Whom::Room => self.devices,
                Whom::Offline => 0,
            };
            self.write(exchange.begin(), &address, index % self.devices, number, &data);
            self.flight.take_off(self.place, number, missing);
            exchange.flush().await?;
            answer(&mut exchange).await?;
            match self.send.to {
                Whom::Offline => self.flight.answered(self.place),
                _ => self.flight.landed(self.place).await?,
            }
            turn += 1;
        }
    }

    fn write(&self, out: &mut Vec<u8>, address: &Address, device: usize, number: u64, data: &str) {
        let room = match self.send.to {
            Whom::Room => EVERYONE.to_owned(),
            _ => format!("user_{}", Push::token_of(device)),
        };
        let body = format!(r#"{{"rooms":["{room}"],"event":"{EVENT}","args":[{number},{data}]}}"#);
        let mut head = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            head,
            "POST /send?site={}&apiKey={} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.send.site,
            self.send.key,
            address.host(),
            body.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(body.as_bytes());
    }
}

/// Reads one answer, which must be a 200.
async fn answer(exchange: &mut Exchange) -> Result<(), BenchError> {
    let buffer = ReadBuffer::of_thread();
    let (mut status, mut over) = (0, false);
    while !over {
        let length = timeout(PATIENCE, exchange.fill(&buffer)).await;
        let length = length.map_err(|_| BenchError::Silent { while_: "answering /send" })??;
        exchange.take(&buffer.filled(length), |part| match part {
            Part::Head(of) => status = of,
            Part::Body(_) => {}
            Part::End { .. } => over = true,
        })?;
    }
    if status == 200 { Ok(()) } else { Err(BenchError::Send(status)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn a_request_lands_when_every_device_has_it() {
        let flight = Flight::new(2, Board::new().unwrap());
        flight.take_off(1, FIRST + 3, 2);
        assert!(!flight.land(FIRST + 1));
        assert!(flight.land(FIRST + 3));
        assert!(flight.land(FIRST + 3));
        assert!(!flight.land(FIRST + 3));
    }
}
