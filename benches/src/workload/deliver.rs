//! Deliveries to devices by an action of the server, on different nodes of one
//! service.

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    Bench, payload,
    requests::{Caller, Requesting},
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
    let wire = Tokensocket {
        token_path: bench.target.token_path.clone(),
        socket_prefix: bench.target.socket_prefix.clone(),
        action: ACTION.to_owned(),
    };
    let mut requesting = Requesting::new(deliver.devices, deliver.callers)?;
    requesting.connect(&Device::new(wire.clone()), true, bench).await?;
    for caller in requesting.callers(bench) {
        let connection = Connection::open(wire.clone(), bench.node(caller.place + 1)).await?;
        requesting.run(call(caller, connection, wire.clone(), payload(deliver.payload)));
    }
    requesting.measure("deliveries", bench).await
}

async fn call(
    caller: Caller,
    mut connection: Connection<Tokensocket>,
    wire: Tokensocket,
    data: String,
) -> Result<(), BenchError> {
    let Caller { place, requests, .. } = &caller;
    for turn in 0.. {
        let number = requests.number(*place, turn);
        let user = Device::user_of(caller.device(turn));
        let wish = format!(r#"{{"user":"{user}","event":"{EVENT}","args":[{number},{data}]}}"#);
        let mut call = String::new();
        wire.call(number, &wish, &mut call);
        connection.outgoing().text(&call);
        requests.take_off(*place, number, 1);
        connection.flush().await?;
        let answered = connection.wait_for(|incoming| *incoming == Incoming::Answer(number));
        timeout(PATIENCE, answered).await.map_err(|_| BenchError::Silent { while_: "delivering" })??;
        requests.landed(*place).await?;
    }
    Ok(())
}
