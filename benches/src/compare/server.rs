//! The servers that are compared: what each is called, speaks and needs.

use std::{collections::HashMap, path::PathBuf, process::Command};

use super::{
    build,
    certificate::Certificate,
    cores::Cores,
    error::CompareError,
    in_process::InProcess,
    launch::{self, Running, port_in},
    nats,
    plan::{
        CALLS, CONNECT, Course, FAN_OUT_1, FAN_OUT_10K, FAN_OUT_10K_HALF, FAN_OUT_32, MEMORY, is_in_process,
        is_of_transport,
    },
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
    Ours,
    /// All that a server by itself is measured with, but for the transports of
    /// SockJS.
    All,
    /// The same without deliveries at half the rate.
    Usual,
    /// What shows the worth of a second core.
    Scaling,
    /// What is measured in one process.
    InProcess,
    /// What shows the price of TLS.
    Tls,
    /// Calls and deliveries.
    Loop,
    /// Deliveries to not too many.
    FanOut,
    /// What needs no actions.
    Channels,
    /// What shows the price of each SockJS transport.
    Transports,
}

impl Scope {
    fn takes(self, course: &str) -> bool {
        match self {
            Self::Ours => true,
            Self::All => !is_in_process(course) && !is_of_transport(course),
            Self::Usual => Self::All.takes(course) && course != FAN_OUT_10K_HALF,
            Self::Scaling => is_in_process(course) || matches!(course, CALLS | FAN_OUT_10K),
            Self::InProcess => is_in_process(course),
            Self::Tls => matches!(course, CALLS | FAN_OUT_1 | FAN_OUT_32 | MEMORY | CONNECT),
            Self::Loop => matches!(course, CALLS | FAN_OUT_1 | FAN_OUT_32 | FAN_OUT_10K),
            Self::FanOut => matches!(course, FAN_OUT_1 | FAN_OUT_32),
            Self::Channels => matches!(course, FAN_OUT_1 | FAN_OUT_32 | FAN_OUT_10K | MEMORY),
            Self::Transports => is_of_transport(course),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Our own.
    Ours,
    /// Our own on two cores.
    OursOnTwoCores,
    /// Our own, through TLS.
    OursWithTls,
    /// Our own in a shape that exists in one process only.
    OursInProcess,
    /// A program of `peers-rust`.
    Rust(&'static str),
    /// A program of `peers-rust` that is told a certificate and its key.
    RustWithTls(&'static str),
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
/// Our own, spoken to by followers of both kinds.
pub(super) const MIXED: &str = "tokensocket-mixed";
/// Our own, through TLS.
pub(super) const TLS: &str = "tokensocket-tls";
/// Our own as two servers, each on a runtime and a core of its own.
pub(super) const PER_CORE: &str = "tokensocket-runtime-per-core";
/// What a WebSocket costs by itself.
pub(super) const FLOOR: &str = "floor";
/// What deliveries cost without a framework.
pub(super) const BARE: &str = "bare";
/// The floor as most would write it.
pub(super) const FLOOR_PLAIN: &str = "floor-plain";
/// What a WebSocket through TLS costs by itself.
pub(super) const FLOOR_TLS: &str = "floor-tls";
/// The original of `SockJS`.
pub(super) const NPM_SOCKJS: &str = "sockjs";

/// Bytes after which both servers of SockJS end a streaming answer: the default
/// of npm `sockjs`.
const RESPONSE_LIMIT: &str = "131072";

/// All of them, in the order of tables.
pub(super) const SERVERS: [Server; 17] = [
    Server {
        name: OURS,
        title: "TokenSocket",
        kind: Kind::Ours,
        dialect: DialectName::Tokensocket,
        scope: Scope::Ours,
    },
    Server {
        name: TWO_CORES,
        title: "TokenSocket, two cores",
        kind: Kind::OursOnTwoCores,
        dialect: DialectName::Tokensocket,
        scope: Scope::Scaling,
    },
    Server {
        name: PER_CORE,
        title: "TokenSocket, a runtime per core",
        kind: Kind::OursInProcess,
        dialect: DialectName::Tokensocket,
        scope: Scope::InProcess,
    },
    Server {
        name: TLS,
        title: "TokenSocket, TLS",
        kind: Kind::OursWithTls,
        dialect: DialectName::Tokensocket,
        scope: Scope::Tls,
    },
    Server {
        name: SOCKJS,
        title: "TokenSocket, SockJS framing",
        kind: Kind::Ours,
        dialect: DialectName::Sockjs,
        scope: Scope::Usual,
    },
    Server {
        name: MIXED,
        title: "TokenSocket, raw and SockJS",
        kind: Kind::Ours,
        dialect: DialectName::Mixed,
        scope: Scope::FanOut,
    },
    Server {
        name: BARE,
        title: "an epoll loop, raw",
        kind: Kind::Rust("bare-peer"),
        dialect: DialectName::Raw,
        scope: Scope::Loop,
    },
    Server {
        name: FLOOR,
        title: "tokio-tungstenite 0.30, raw",
        kind: Kind::Rust("floor-peer"),
        dialect: DialectName::Raw,
        scope: Scope::All,
    },
    Server {
        name: FLOOR_PLAIN,
        title: "tokio-tungstenite 0.30, raw, plain",
        kind: Kind::Rust("floor-plain-peer"),
        dialect: DialectName::Raw,
        scope: Scope::Usual,
    },
    Server {
        name: FLOOR_TLS,
        title: "tokio-tungstenite 0.30, raw, TLS",
        kind: Kind::RustWithTls("floor-peer"),
        dialect: DialectName::Raw,
        scope: Scope::Tls,
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
    Server {
        name: NPM_SOCKJS,
        title: "npm sockjs 0.3.24",
        kind: Kind::Node("sockjs.cjs"),
        dialect: DialectName::Sockjs,
        scope: Scope::Transports,
    },
];

impl Server {
    /// Whether it is ours.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours | Kind::OursOnTwoCores | Kind::OursWithTls | Kind::OursInProcess)
    }

    /// What the server of one process is to run on, where it can be one.
    pub(super) fn shape(&self) -> Option<&'static str> {
        match self.name {
            OURS => Some("one-thread"),
            TWO_CORES => Some("two-threads"),
            PER_CORE => Some("runtime-per-core"),
            _ => None,
        }
    }

    /// Whether it is spoken to through TLS.
    fn speaks_tls(&self) -> bool {
        matches!(self.kind, Kind::OursWithTls | Kind::RustWithTls(_))
    }

    /// Whether the workload called `course` is for it.
    pub(super) fn takes(&self, course: &str) -> bool {
        self.scope.takes(course)
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
    in_process: Option<InProcess>,
    certificate: Option<Certificate>,
}

impl Programs {
    /// Builds and installs what `servers` need for `courses`. `ours` is the
    /// command that starts our own; without it the example `playground` does.
    pub(super) fn prepare(
        servers: &[Server],
        courses: &[Course],
        ours: Option<&str>,
    ) -> Result<Self, CompareError> {
        let needs = |wanted: fn(&Kind) -> bool| servers.iter().any(|server| wanted(&server.kind));
        let mut programs = Self::default();
        if courses.iter().any(|course| is_in_process(course.name)) && servers.iter().any(Server::is_ours) {
            programs.in_process = Some(InProcess::build()?);
        }
        if servers.iter().any(Server::speaks_tls) {
            programs.certificate = Some(Certificate::make()?);
        }
        let by_themselves = courses.iter().any(|course| !is_in_process(course.name));
        if by_themselves && servers.iter().any(Server::is_ours) {
            programs.ours = Some(match ours {
                Some(command) => command.split_whitespace().map(str::to_owned).collect(),
                None => vec![
                    build::playground()?.to_string_lossy().into_owned(),
                    "--listen".to_owned(),
                    "127.0.0.1:0".to_owned(),
                    "--sockjs-response-limit".to_owned(),
                    RESPONSE_LIMIT.to_owned(),
                ],
            });
        }
        if needs(|kind| matches!(kind, Kind::Rust(_) | Kind::RustWithTls(_))) {
            programs.rust = build::rust_peers()?;
        }
        if needs(|kind| matches!(kind, Kind::Node(_) | Kind::NodeWithRedis(_))) {
            build::install_node_peers()?;
        }
        Ok(programs)
    }

    /// The program for what is measured in one process.
    pub(super) fn in_process(&self) -> Option<&InProcess> {
        self.in_process.as_ref()
    }
}

/// A server that runs, and all that runs for it.
#[derive(Debug)]
pub(super) struct Started {
    port: u16,
    tls: bool,
    dialect: DialectName,
    process: Running,
    redis: Option<Redis>,
}

impl Started {
    /// What the load generator is to measure.
    pub(super) fn target(&self) -> Result<Target, crate::BenchError> {
        let scheme = if self.tls { "https" } else { "http" };
        let target = Target::new(&format!("{scheme}://127.0.0.1:{}", self.port))?
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
            Kind::OursWithTls => {
                let certificate = self.certificate(programs)?;
                let mut command = self.own_command(programs)?;
                command.arg("--tls-certificate").arg(certificate.certificate());
                command.arg("--tls-key").arg(certificate.key());
                command
            }
            Kind::OursInProcess => return Err(self.not_started("it is no process of its own")),
            Kind::Rust(program) => self.rust_command(programs, program)?,
            Kind::RustWithTls(program) => {
                let certificate = self.certificate(programs)?;
                let mut command = self.rust_command(programs, program)?;
                command.arg(certificate.certificate()).arg(certificate.key());
                command
            }
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
        Ok(Started { port, tls: self.speaks_tls(), dialect: self.dialect, process, redis })
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

    fn rust_command(&self, programs: &Programs, program: &str) -> Result<Command, CompareError> {
        let path = programs.rust.get(program);
        Ok(Command::new(path.ok_or_else(|| self.not_started("its program was not built"))?))
    }

    fn certificate<'a>(&self, programs: &'a Programs) -> Result<&'a Certificate, CompareError> {
        programs.certificate.as_ref().ok_or_else(|| self.not_started("there is no certificate for it"))
    }

    fn not_started(&self, reason: &str) -> CompareError {
        CompareError::Start { name: self.name.to_owned(), reason: reason.to_owned() }
    }
}

/// The command that starts a script of `peers`.
pub(super) fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(script)
        .current_dir(build::node_peers())
        .env("NODE_ENV", "production")
        .env("NODE_NO_WARNINGS", "1");
    command
}
