//! Connects: the life of a short visit, over and over.

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
    socket::{Address, Connection, Template},
};

/// Token, connect, authenticate, one call, close.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Connect {
    /// Clients that come and go at the same time.
    #[arg(long, default_value_t = 64)]
    pub clients: usize,
    /// Bytes of the call's argument, a JSON string.
    #[arg(long, default_value_t = 64)]
    pub payload: usize,
}

impl Default for Connect {
    fn default() -> Self {
        Self { clients: 64, payload: 64 }
    }
}

pub(crate) async fn run<D: Dialect>(connect: &Connect, bench: &Bench<'_, D>) -> Result<Report, BenchError> {
    let clients = at_least_one("the number of clients", connect.clients)?;
    let board = Board::new()?;
    let data = payload(connect.payload);
    let template =
        Rc::new(Template::new(bench.dialect.opcode(), |id, out| bench.dialect.call(id, &data, out)));
    let mut visitors = JoinSet::new();
    for _ in 0..clients {
        visitors.spawn_local(keep_visiting(
            bench.dialect.clone(),
            bench.address.clone(),
            Rc::clone(&template),
            Rc::clone(&board),
        ));
    }
    let measured = measure("connects", &board, bench.target, bench.options);
    while_running(&mut visitors, measured).await
}

async fn keep_visiting<D: Dialect>(
    dialect: D,
    address: Address,
    template: Rc<Template>,
    board: Rc<Board>,
) -> Result<(), BenchError> {
    loop {
        let start = Instant::now();
        let mut connection = Connection::open(dialect.clone(), &address).await?;
        connection.outgoing().send(&template, CALLS);
        connection.flush().await?;
        connection.wait_for(|incoming| *incoming == Incoming::Answer(CALLS)).await?;
        connection.close().await?;
        board.record(start.elapsed());
    }
}
