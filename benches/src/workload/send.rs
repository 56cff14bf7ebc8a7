//! Sends over HTTP to devices of a site: `POST /send`, as an application beside
//! a push service makes them.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    Bench, payload,
    requests::{self, Requesting},
};
use crate::{
    dialect::{
        Dialect,
        push::{EVENT, Push},
    },
    error::BenchError,
    report::Report,
    socket::{Address, Exchange, ReadBuffer, connection::PATIENCE, response::Part},
};

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
    let mut requesting = Requesting::new(send.devices, send.callers)?;
    requesting.connect(&Push::to(&send.site), send.to != Whom::Offline, bench).await?;
    for caller in requesting.callers(bench) {
        let address = bench.node(caller.place + 1).clone();
        requesting.run(Caller { send: send.clone(), caller }.run(address));
    }
    requesting.measure("requests", bench).await
}

struct Caller {
    send: Send,
    caller: requests::Caller,
}

impl Caller {
    async fn run(self, address: Address) -> Result<(), BenchError> {
        let mut exchange = Exchange::new(&address);
        let data = payload(self.send.payload);
        let requests::Caller { place, requests, .. } = &self.caller;
        for turn in 0.. {
            let number = requests.number(*place, turn);
            let device = self.caller.device(turn);
            let missing = match self.send.to {
                Whom::Device => 1,
                Whom::Room => self.send.devices,
                Whom::Offline => 0,
            };
            self.write(exchange.begin(), &address, device, number, &data);
            requests.take_off(*place, number, missing);
            exchange.flush().await?;
            answer(&mut exchange).await?;
            match self.send.to {
                Whom::Offline => requests.answered(*place),
                _ => requests.landed(*place).await?,
            }
        }
        Ok(())
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
