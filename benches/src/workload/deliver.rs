//! Deliveries to devices by an action of the server, on different nodes of one
//! service.

use std::rc::Rc;

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::timeout};

use super::{
    Bench, at_least_one,
    measure::{Board, measure},
    open_all, payload,
    requests::{Requests, device, take},
    while_running,
};
use crate::{
    dialect::{
        Dialect, Incoming,
        device::{Device, EVENT},
        tokensocket::Tokensocket,
    },
    error::BenchError,
    report::Report,
    socket::{Connection, connection::PATIENCE},
};

/// The action that delivers.
const ACTION: &str = "deliver";

/// Deliveries to devices.
///
/// The server's action `deliver` takes `{"user":U,"event":E,"args":[…]}`, and
/// delivers to that user's devices. A client is the user whom it names as
/// `?user=U` when it asks for a token.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Deliver {
    /// Devices, each of a user of its own.
    #[arg(long, default_value_t = 1000)]
    pub devices: usize,
    /// Deliveries under way at once, each called for on a connection of its own,
    /// on another node than its device: the next is called for when the one
    /// before is answered and its device has it.
    #[arg(long, default_value_t = 64)]
    pub callers: usize,
    /// Bytes of each delivery's second argument, a JSON string.
    #[arg(long, default_value_t = 128)]
    pub payload: usize,
}

impl Default for Deliver {
    fn default() -> Self {
        Self { devices: 1000, callers: 64, payload: 128 }
    }
}

/// Latencies run from when a call was written to when the device had it.
pub(crate) async fn run<D: Dialect>(deliver: &Deliver, bench: &Bench<'_, D>) -> Result<Report, BenchError> {
    let devices = at_least_one("the number of devices", deliver.devices)?;
    let callers = at_least_one("the number of callers", deliver.callers)?;
    let wire = Tokensocket {
        token_path: bench.target.token_path.clone(),
        socket_prefix: bench.target.socket_prefix.clone(),
        action: ACTION.to_owned(),
    };
    let board = Board::new()?;
    let requests = Rc::new(Requests::new(callers, Rc::clone(&board)));
    let dialect = Device::new(wire.clone());
    let open = |index| {
        let (dialect, address) = (dialect.for_follower(index), bench.node(index).clone());
        async move { Connection::open(dialect, &address).await }
    };
    let mut tasks = JoinSet::new();
    for connection in open_all(devices, open).await? {
        tasks.spawn_local(take(connection, dialect.clone(), Rc::clone(&requests)));
    }
    for place in 0..callers {
        let connection = Connection::open(wire.clone(), bench.node(place + 1)).await?;
        let nodes = bench.nodes.len() + 1;
        let caller = Caller { deliver: deliver.clone(), place, nodes, requests: Rc::clone(&requests) };
        tasks.spawn_local(caller.run(connection, wire.clone()));
    }
    let measured = measure("deliveries", &board, bench.target, bench.options);
    while_running(&mut tasks, measured).await
}

struct Caller {
    deliver: Deliver,
    place: usize,
    nodes: usize,
    requests: Rc<Requests>,
}

impl Caller {
    async fn run(self, mut connection: Connection<Tokensocket>, wire: Tokensocket) -> Result<(), BenchError> {
        let data = payload(self.deliver.payload);
        let Deliver { devices, callers, .. } = self.deliver;
        for turn in 0.. {
            let number = self.requests.number(self.place, turn);
            let user = Device::user_of(device(self.place, turn, callers, devices, self.nodes));
            let wish = format!(r#"{{"user":"{user}","event":"{EVENT}","args":[{number},{data}]}}"#);
            let mut call = String::new();
            wire.call(number, &wish, &mut call);
            connection.outgoing().text(&call);
            self.requests.take_off(self.place, number, 1);
            connection.flush().await?;
            let answered = connection.wait_for(|incoming| *incoming == Incoming::Answer(number));
            timeout(PATIENCE, answered).await.map_err(|_| BenchError::Silent { while_: "delivering" })??;
            self.requests.landed(self.place).await?;
        }
        Ok(())
    }
}
