//! Memory of SockJS sessions that are open and silent, with a receiver attached.

use std::{rc::Rc, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Bench, at_least_one, idle::growth};
use crate::{
    dialect::Dialect,
    error::BenchError,
    report::Report,
    sockjs::{Message, Session, Transport},
};

/// How long a server has to settle before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// Sessions that do nothing.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SockjsIdle {
    /// What carries the sessions.
    #[arg(long, value_enum)]
    pub transport: Transport,
    /// Sessions to add.
    #[arg(long, default_value_t = 1000)]
    pub sessions: usize,
}

pub(crate) async fn run<D: Dialect>(idle: &SockjsIdle, bench: &Bench<'_, D>) -> Result<Report, BenchError> {
    let sessions = at_least_one("the number of sessions", idle.sessions)?;
    let message = Rc::new(Message::new(0));
    let open = async |count| bench.open_sessions(count, idle.transport, &message).await;
    growth("sessions", sessions, bench.target, SETTLE, open, stay).await
}

/// Answers pings, asks again where a poll has ended, and nothing else.
async fn stay(mut session: Session) -> Result<(), BenchError> {
    loop {
        session.receive(|_, _| {}).await?;
    }
}
