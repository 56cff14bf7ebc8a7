//! How many messages a second are durably taken from so many callers at once, each of whom waits for its answer.
//!
//! ```text
//! callers ──message of 256 bytes for one of 2,000 devices──▶ ours:  Server::deliver, embedded store
//!         ◀──kept──                                          redis: XADD to the device's stream
//!                                                            nats:  JetStream publish to the device's subject
//! ```
//!
//! `cargo xtask bench --only durable` runs it for each. Goes out: an array of [`Figure`]s as JSON. The peers are
//! spoken to without a library, many callers' commands in one write, so that nothing of the client stands in their
//! way.

#![allow(clippy::print_stderr, reason = "a program that tells what it does")]

mod load;
mod nats;
mod ours;
mod pipe;
mod redis;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use load::{Failure, Figure, Target};

/// The gateway's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures one store.
#[derive(Parser)]
struct Arguments {
    /// Seconds to count.
    #[arg(long, default_value_t = 3.0, global = true)]
    seconds: f64,
    /// Seconds before counting.
    #[arg(long, default_value_t = 1.0, global = true)]
    warm_up: f64,
    /// How many callers, one measurement for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1024], global = true)]
    callers: Vec<usize>,
    #[command(subcommand)]
    store: Store,
}

#[derive(Subcommand)]
enum Store {
    /// Our server with the embedded store.
    Ours {
        /// Where it keeps its data.
        #[arg(long)]
        folder: PathBuf,
    },
    /// Histories in the embedded store, and presence of 100,000.
    Channels {
        /// Where it keeps its data.
        #[arg(long)]
        folder: PathBuf,
    },
    /// A Redis that runs.
    Redis {
        /// Its Unix socket.
        #[arg(long)]
        socket: PathBuf,
        /// Connections that the callers share.
        #[arg(long, default_value_t = 1)]
        connections: usize,
    },
    /// A NATS server with JetStream that runs.
    Nats {
        /// Its address.
        #[arg(long)]
        address: String,
        /// Connections that the callers share.
        #[arg(long, default_value_t = 1)]
        connections: usize,
    },
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(measure(&arguments))?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

async fn measure(arguments: &Arguments) -> Result<Vec<Figure>, Failure> {
    match &arguments.store {
        Store::Ours { folder } => each(arguments, &ours::Deliveries::open(folder).await?).await,
        Store::Channels { folder } => {
            let channels = ours::Channels::open(folder)?;
            let mut figures = each(arguments, &channels.publishing()).await?;
            figures.extend(each(arguments, &channels.recovering().await?).await?);
            figures.extend(ours::presence().await?);
            Ok(figures)
        }
        Store::Redis { socket, connections } => {
            each(arguments, &redis::Streams::connect(socket, *connections).await?).await
        }
        Store::Nats { address, connections } => {
            each(arguments, &nats::JetStream::connect(address, *connections).await?).await
        }
    }
}

async fn each<T: Target>(arguments: &Arguments, target: &T) -> Result<Vec<Figure>, Failure> {
    let seconds = Duration::try_from_secs_f64(arguments.seconds)?;
    let warm_up = Duration::try_from_secs_f64(arguments.warm_up)?;
    let mut figures = Vec::new();
    for &callers in &arguments.callers {
        figures.push(load::run(target, callers, warm_up, seconds).await?);
    }
    Ok(figures)
}
