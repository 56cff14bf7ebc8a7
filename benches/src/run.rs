//! One run: a target, a workload, a report.

use tokio::{runtime, task::LocalSet};

use crate::{
    dialect::{
        Dialect, jsonrpc::Jsonrpc, mixed::Mixed, nats::Nats, raw::Raw, socketio::Socketio, sockjs::Sockjs,
        tokensocket::Tokensocket,
    },
    error::BenchError,
    files,
    report::Report,
    socket::Address,
    target::{DialectName, Options, Target},
    workload::{self, Workload},
};

/// Runs `workload` against `target` and says what it found.
///
/// Blocks the calling thread until the run is over and does all its work on
/// it, so that pinning the thread pins the load. Must not be called from within
/// an async runtime; use `spawn_blocking` there. Raises the limit of open files
/// of this process as far as it is allowed.
pub fn run(target: &Target, workload: &Workload, options: &Options) -> Result<Report, BenchError> {
    files::raise_limit();
    let wire = || Tokensocket {
        token_path: target.token_path.clone(),
        socket_prefix: target.socket_prefix.clone(),
        action: target.action.clone(),
    };
    match target.dialect {
        DialectName::Tokensocket => speak(wire(), target, workload, options),
        DialectName::Sockjs => speak(Sockjs::new(wire()), target, workload, options),
        DialectName::Mixed => speak(Mixed::new(wire()), target, workload, options),
        DialectName::Socketio => speak(Socketio, target, workload, options),
        DialectName::Jsonrpc => speak(Jsonrpc, target, workload, options),
        DialectName::Raw => speak(Raw, target, workload, options),
        DialectName::Nats => speak(Nats, target, workload, options),
    }
}

fn speak<D: Dialect>(
    dialect: D,
    target: &Target,
    workload: &Workload,
    options: &Options,
) -> Result<Report, BenchError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let address = Address::resolve(&target.host, target.port, target.tls)?;
    let resolve = |port: &u16| Address::resolve(&target.host, *port, target.tls);
    let nodes = target.nodes.iter().map(resolve).collect::<Result<_, _>>()?;
    let bench = workload::Bench { dialect, address, nodes, target, options };
    LocalSet::new().block_on(&runtime, async {
        match workload {
            Workload::Calls(calls) => workload::calls::run(calls, &bench).await,
            Workload::FanOut(fan_out) => workload::fan_out::run(fan_out, &bench).await,
            Workload::Memory(idle) => workload::idle::run(idle, &bench).await,
            Workload::Connect(connect) => workload::connect::run(connect, &bench).await,
            Workload::Relay(relay) => workload::relay::run(relay, &bench).await,
            Workload::Deliver(deliver) => workload::deliver::run(deliver, &bench).await,
            Workload::Send(send) => workload::send::run(send, &bench).await,
            Workload::SockjsEcho(echo) => workload::sockjs_echo::run(echo, &bench).await,
            Workload::SockjsIdle(idle) => workload::sockjs_idle::run(idle, &bench).await,
        }
    })
}
