//! The servers that are compared: what each is called, speaks and needs.

use std::{collections::HashMap, path::PathBuf, process::Command};

use super::{
    build,
    cores::Cores,
    error::CompareError,
    launch::{self, Running, port_in},
    nats,
    plan::{CALLS, CONNECT, FAN_OUT_10K, FAN_OUT_10K_HALF},
    redis::Redis,
};
use crate::target::{DialectName, Process, Target};

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Its name on the command line and in records.
    pub(super) name: &'static str,
    /// Its name in tables.
    pub(super) title: &'static str,
    kind: Kind,
    dialect: DialectName,
    scope: Scope,
}

/// Which workloads a server is measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// All.
    All,
    /// All but deliveries at half the rate.
    Usual,
    /// What shows the worth of a second core.
    Scaling,
    /// What needs no actions.
    Channels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Our own.
    Ours,
    /// Our own on two cores.
    OursOnTwoCores,
    /// A program of `peers-rust`.
    Rust(&'static str),
    /// A script of `peers`.
    Node(&'static str),
    /// A script of `peers` that needs Redis.
    NodeWithRedis(&'static str),
    /// The `nats-server` that is installed.
    Nats,
}

/// The name that every ratio is taken against.
pub(super) const OURS: &str = "tokensocket";
/// Our own on two cores.
pub(super) const TWO_CORES: &str = "tokensocket-two-cores";
/// Our own, spoken to in `SockJS` frames.
pub(super) const SOCKJS: &str = "tokensocket-sockjs";
/// What a WebSocket costs by itself.
pub(super) const FLOOR: &str = "floor";

/// All of them, in the order of tables.
pub(super) const SERVERS: [Server; 10] = [
    Server {
        name: OURS,
        title: "TokenSocket",
        kind: Kind::Ours,
        dialect: DialectName::Tokensocket,
        scope: Scope::All,
    },
    Server {
        name: TWO_CORES,
        title: "TokenSocket, two cores",
        kind: Kind::OursOnTwoCores,
        dialect: DialectName::Tokensocket,
        scope: Scope::Scaling,
    },
    Server {
        name: SOCKJS,
        title: "TokenSocket, SockJS framing",
        kind: Kind::Ours,
        dialect: DialectName::Sockjs,
        scope: Scope::Usual,
    },
    Server {
        name: FLOOR,
        title: "tokio-tungstenite 0.30, raw",
        kind: Kind::Rust("floor-peer"),
        dialect: DialectName::Raw,
        scope: Scope::All,
    },
    Server {
        name: "socketioxide",
        title: "socketioxide 0.18",
        kind: Kind::Rust("socketioxide-peer"),
        dialect: DialectName::Socketio,
        scope: Scope::Usual,
    },
    Server {
        name: "jsonrpsee",
        title: "jsonrpsee 0.26",
        kind: Kind::Rust("jsonrpsee-peer"),
        dialect: DialectName::Jsonrpc,
        scope: Scope::Usual,
    },
    Server {
        name: "nats",
        title: "nats-server",
        kind: Kind::Nats,
        dialect: DialectName::Nats,
        scope: Scope::Channels,
    },
    Server {
        name: "ws",
        title: "npm ws 8.23, raw",
        kind: Kind::Node("ws.mjs"),
        dialect: DialectName::Raw,
        scope: Scope::Usual,
    },
    Server {
        name: "socket.io",
        title: "npm socket.io 4.8",
        kind: Kind::Node("socketio.mjs"),
        dialect: DialectName::Socketio,
        scope: Scope::Usual,
    },
    Server {
        name: "node-token-sockjs",
        title: "npm node-token-sockjs 2.1, Redis",
        kind: Kind::NodeWithRedis("node-token-sockjs.cjs"),
        dialect: DialectName::Sockjs,
        scope: Scope::Usual,
    },
];

impl Server {
    /// Whether it is ours.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours | Kind::OursOnTwoCores)
    }

    /// Whether the workload called `course` is for it.
    pub(super) fn takes(&self, course: &str) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Usual => course != FAN_OUT_10K_HALF,
            Scope::Scaling => matches!(course, CALLS | FAN_OUT_10K),
            Scope::Channels => !matches!(course, CALLS | CONNECT | FAN_OUT_10K_HALF),
        }
    }

    /// What is missing on this machine to run it, and how to get it.
    pub(super) fn missing(&self) -> Option<&'static str> {
        (self.kind == Kind::Nats && !nats::is_installed()).then_some(nats::INSTALL)
    }
}

/// The programs of the servers that were asked for.
#[derive(Debug, Default)]
pub(super) struct Programs {
    ours: Option<Vec<String>>,
    rust: HashMap<String, PathBuf>,
}

impl Programs {
    /// Builds and installs what `servers` need. `ours` is the command that
    /// starts our own; without it the example `playground` does.
    pub(super) fn prepare(servers: &[Server], ours: Option<&str>) -> Result<Self, CompareError> {
        let needs = |wanted: fn(&Kind) -> bool| servers.iter().any(|server| wanted(&server.kind));
        let mut programs = Self::default();
        if needs(|kind| matches!(kind, Kind::Ours | Kind::OursOnTwoCores)) {
            programs.ours = Some(match ours {
                Some(command) => command.split_whitespace().map(str::to_owned).collect(),
                None => vec![
                    build::playground()?.to_string_lossy().into_owned(),
                    "--listen".to_owned(),
                    "127.0.0.1:0".to_owned(),
                ],
            });
        }
        if needs(|kind| matches!(kind, Kind::Rust(_))) {
            programs.rust = build::rust_peers()?;
        }
        if needs(|kind| matches!(kind, Kind::Node(_) | Kind::NodeWithRedis(_))) {
            build::install_node_peers()?;
        }
        Ok(programs)
    }
}

/// A server that runs, and all that runs for it.
#[derive(Debug)]
pub(super) struct Started {
    port: u16,
    dialect: DialectName,
    process: Running,
    redis: Option<Redis>,
}

impl Started {
    /// What the load generator is to measure.
    pub(super) fn target(&self) -> Result<Target, crate::BenchError> {
        let target = Target::new(&format!("http://127.0.0.1:{}", self.port))?
            .dialect(self.dialect)
            .server(self.process.pid());
        Ok(match &self.redis {
            Some(redis) => target.beside(Process { name: "redis-server".to_owned(), pid: redis.pid() }),
            None => target,
        })
    }
}

impl Server {
    /// Starts it afresh.
    pub(super) fn start(&self, programs: &Programs, cores: Option<&Cores>) -> Result<Started, CompareError> {
        let mut redis = None;
        // It must be there until the server listens.
        let mut folder = None;
        let two_cores;
        let mut cores = cores;
        let mut command = match self.kind {
            Kind::Ours => self.own_command(programs)?,
            Kind::OursOnTwoCores => {
                two_cores = cores.map(Cores::with_two);
                cores = two_cores.as_ref();
                self.own_command(programs)?
            }
            Kind::Rust(program) => Command::new(
                programs.rust.get(program).ok_or_else(|| self.not_started("its program was not built"))?,
            ),
            Kind::Node(script) => node(script),
            Kind::NodeWithRedis(script) => {
                let redis = redis.insert(Redis::start(cores)?);
                let mut command = node(script);
                command.env("REDIS_SOCKET", redis.socket());
                command
            }
            Kind::Nats => {
                let made = tempfile::tempdir()
                    .map_err(|source| CompareError::File { path: std::env::temp_dir(), source })?;
                nats::command(folder.insert(made).path())?
            }
        };
        // What servers log is no part of what is measured.
        command.env("RUST_LOG", "error");
        let (process, port) = launch::start(self.name, command, cores, port_in)?;
        Ok(Started { port, dialect: self.dialect, process, redis })
    }

    fn own_command(&self, programs: &Programs) -> Result<Command, CompareError> {
        let (program, arguments) = programs
            .ours
            .as_deref()
            .and_then(<[String]>::split_first)
            .ok_or_else(|| self.not_started("its command is empty"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }

    fn not_started(&self, reason: &str) -> CompareError {
        CompareError::Start { name: self.name.to_owned(), reason: reason.to_owned() }
    }
}

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(script)
        .current_dir(build::node_peers())
        .env("NODE_ENV", "production")
        .env("NODE_NO_WARNINGS", "1");
    command
}
