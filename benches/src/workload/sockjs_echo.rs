//! SockJS echo: each session keeps a number of messages in flight.

use std::{collections::VecDeque, rc::Rc, time::Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{
    Bench, at_least_one,
    measure::{Board, measure},
    while_running,
};
use crate::{
    dialect::{CALLS, Dialect},
    error::BenchError,
    report::Report,
    sockjs::{Message, Outgoing, Session, Transport},
};

/// Messages that come back at once.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SockjsEcho {
    /// What carries the sessions.
    #[arg(long, value_enum)]
    pub transport: Transport,
    /// Sessions that send.
    #[arg(long, default_value_t = 64)]
    pub sessions: usize,
    /// Messages that each session keeps in flight.
    #[arg(long, default_value_t = 16)]
    pub in_flight: usize,
    /// Bytes of each message, a JSON object.
    #[arg(long, default_value_t = 64)]
    pub payload: usize,
}

impl SockjsEcho {
    /// The usual load on `transport`.
    pub fn on(transport: Transport) -> Self {
        Self { transport, sessions: 64, in_flight: 16, payload: 64 }
    }
}

pub(crate) async fn run<D: Dialect>(echo: &SockjsEcho, bench: &Bench<'_, D>) -> Result<Report, BenchError> {
    let sessions = at_least_one("the number of sessions", echo.sessions)?;
    let in_flight = at_least_one("the number of messages in flight", echo.in_flight)?;
    let board = Board::new()?;
    let message = Rc::new(Message::new(echo.payload));
    let mut echoes = JoinSet::new();
    for session in bench.open_sessions(sessions, echo.transport, &message).await? {
        echoes.spawn_local(keep_sending(session, in_flight, Rc::clone(&board)));
    }
    let measured = measure("messages", &board, bench.target, bench.options);
    while_running(&mut echoes, measured).await
}

/// Keeps `in_flight` messages under way, which come back in the order they were
/// sent in. A latency runs from when a message was ready to be sent, so it
/// includes the wait for the request before it; those read together share a
/// moment, and so do those that take their places.
async fn keep_sending(mut session: Session, in_flight: usize, board: Rc<Board>) -> Result<(), BenchError> {
    let mut flight = Flight::default();
    let start = Instant::now();
    for _ in 0..in_flight {
        flight.take_off(session.outgoing(), start);
    }
    loop {
        let mut now = None;
        let mut disorder = None;
        session
            .receive(|id, outgoing| match flight.land(id) {
                Ok(sent) => {
                    let now = *now.get_or_insert_with(Instant::now);
                    board.record(now - sent);
                    flight.take_off(outgoing, now);
                }
                Err(error) => {
                    disorder.get_or_insert(error);
                }
            })
            .await?;
        if let Some(error) = disorder {
            return Err(error);
        }
    }
}

/// The messages of one session that are under way, the oldest first.
#[derive(Debug, Default)]
struct Flight {
    sent: VecDeque<Instant>,
    landed: u64,
}

impl Flight {
    fn take_off(&mut self, outgoing: &mut Outgoing, now: Instant) {
        outgoing.send(CALLS + self.landed + self.sent.len() as u64);
        self.sent.push_back(now);
    }

    /// When the message with `id` was sent, which must be the oldest.
    fn land(&mut self, id: u64) -> Result<Instant, BenchError> {
        let wanted = CALLS + self.landed;
        let disorder = BenchError::Disorder { found: id - CALLS.min(id), wanted: self.landed };
        if id != wanted {
            return Err(disorder);
        }
        self.landed += 1;
        self.sent.pop_front().ok_or(disorder)
    }
}
