//! Calls: each socket keeps a number of echo calls in flight.

use std::{rc::Rc, time::Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{
    Bench, at_least_one,
    measure::{Board, measure},
    payload, while_running,
};
use crate::{
    dialect::{CALLS, Dialect, Incoming},
    error::BenchError,
    report::Report,
    socket::{Connection, Template},
};

/// Calls that come back at once.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Sockets that call.
    #[arg(long, default_value_t = 64)]
    pub sockets: usize,
    /// Calls that each socket keeps in flight.
    #[arg(long, default_value_t = 16)]
    pub in_flight: usize,
    /// Bytes of each call's argument, a JSON string.
    #[arg(long, default_value_t = 64)]
    pub payload: usize,
}

impl Default for Calls {
    fn default() -> Self {
        Self { sockets: 64, in_flight: 16, payload: 64 }
    }
}

pub(crate) async fn run<D: Dialect>(calls: &Calls, bench: &Bench<'_, D>) -> Result<Report, BenchError> {
    let sockets = at_least_one("the number of sockets", calls.sockets)?;
    let in_flight = at_least_one("the number of calls in flight", calls.in_flight)?;
    let board = Board::new()?;
    let data = payload(calls.payload);
    let template =
        Rc::new(Template::new(bench.dialect.opcode(), |id, out| bench.dialect.call(id, &data, out)));
    let mut callers = JoinSet::new();
    for connection in bench.open_many(sockets, 0).await? {
        let (template, board) = (Rc::clone(&template), Rc::clone(&board));
        callers.spawn_local(keep_calling(connection, template, in_flight, board));
    }
    let measured = measure("calls", &board, bench.target, bench.options);
    while_running(&mut callers, measured).await
}

/// A call under way.
#[derive(Clone, Debug)]
struct Call {
    id: u64,
    sent: Instant,
}

/// Keeps `in_flight` calls under way. A call's id tells its slot, so answers
/// may come in any order. An answer counts from when its call was written to
/// when the bytes it came in were read; the answers of one read share that
/// moment, and so do the calls that take their places.
async fn keep_calling<D: Dialect>(
    mut connection: Connection<D>,
    template: Rc<Template>,
    in_flight: usize,
    board: Rc<Board>,
) -> Result<(), BenchError> {
    let slots = in_flight as u64;
    let start = Instant::now();
    let mut under_way: Vec<_> = (CALLS..).take(in_flight).map(|id| Call { id, sent: start }).collect();
    for call in &under_way {
        connection.outgoing().send(&template, call.id);
    }
    connection.flush().await?;
    loop {
        let mut now = None;
        let mut unasked = false;
        connection
            .receive(|incoming, outgoing| {
                let Incoming::Answer(id @ CALLS..) = incoming else {
                    return;
                };
                let now = *now.get_or_insert_with(Instant::now);
                // The remainder is below the length.
                #[allow(clippy::cast_possible_truncation, reason = "below in_flight")]
                let call = &mut under_way[((id - CALLS) % slots) as usize];
                if call.id != id {
                    unasked = true;
                    return;
                }
                board.record(now - call.sent);
                *call = Call { id: id + slots, sent: now };
                outgoing.send(&template, call.id);
            })
            .await?;
        if unasked {
            return Err(BenchError::Unasked);
        }
    }
}
