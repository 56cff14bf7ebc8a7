//! `/send`: the gateway beside the npm stack that it replaces.
//!
//! ```text
//! round × whom × stack: engine ─▶ one or two servers ─▶ loaded by `send`, with our stub as the site's auth URL
//!    stacks: the gateway in memory, on Redis, on NATS, with its embedded store; socket.io + adapter + Redis
//! ```
//!
//! In: rounds and seconds. Out: a record (JSON) and a table, with medians over the rounds.

mod figures;
mod rooms;
mod stack;

use std::{fmt, fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use stack::{STACKS, Stack};

use super::{
    args::CompareArgs,
    build,
    engine::{self, Engine},
    error::CompareError,
    ground::Ground,
    launch, record,
    series::Series,
    server::node,
    service::Service,
};
use crate::{
    target::DialectName,
    workload::{Send, Whom, Workload},
};

/// The workload's name.
pub(super) const NAME: &str = "send";

/// How long devices that went away are remembered, in seconds: longer than a run.
const DEVICE_TTL: u32 = 3600;

/// Whom requests are for.
const COURSES: [Whom; 3] = [Whom::Device, Whom::Room, Whom::Offline];

/// What is sent to, by what.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Place {
    stack: Stack,
    to: Whom,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, to {}", self.stack.title(), title(self.to))
    }
}

/// As `--only` has it.
fn name(to: Whom) -> &'static str {
    match to {
        Whom::Device => "device",
        Whom::Room => "room",
        Whom::Offline => "offline",
    }
}

/// As tables have it.
fn title(to: Whom) -> &'static str {
    match to {
        Whom::Device => "one of 1,000 connected",
        Whom::Room => "a room of 100 connected",
        Whom::Offline => "one of 1,000 away",
    }
}

/// Runs the rounds, or reads the record that `--from` names; returns the table.
pub(super) fn run(arguments: &CompareArgs) -> Result<String, CompareError> {
    let series = match &arguments.from {
        Some(path) => record::read(path)?,
        None => measure(arguments)?,
    };
    Ok(figures::table(&series, arguments.markdown))
}

fn measure(arguments: &CompareArgs) -> Result<Series<Place>, CompareError> {
    let courses = arguments.courses(NAME, &COURSES, name)?;
    let stacks = engine::installed(arguments.stacks(&STACKS, Stack::name)?, Stack::engine);
    let places: Vec<_> = courses
        .into_iter()
        .flat_map(|to| stacks.iter().map(move |stack| Place { stack: *stack, to }))
        .collect();
    let gateway = build::gateway_program()?;
    build::install_node_peers()?;
    let ground = Ground::new(arguments)?;
    let auth_port =
        rooms::serve().map_err(|source| CompareError::Program { program: NAME.to_owned(), source })?;
    let sites = sites(auth_port).to_string();
    let (series, _) = Series::measure(NAME, arguments, &places, |Place { stack, to }| {
        launch::rest()?;
        let folder = ground.folder(NAME)?;
        let configuration = folder.path().join("sites.yml");
        fs::write(&configuration, &sites)
            .map_err(|source| CompareError::File { path: configuration.clone(), source })?;
        let engine = Engine::start(stack.engine(), &ground)?;
        let command = |engine: &Engine| match engine {
            Engine::Redis { redis, .. } if !stack.is_ours() => npm(&redis.socket(), &sites),
            engine => own(&gateway, engine, stack, folder.path()),
        };
        let service = Service::start(stack.title(), stack.nodes(), engine, &ground, command)?;
        service.load(DialectName::Socketio, &Workload::Send(Send::to(to)), &ground)
    })?;
    Ok(series)
}

/// The command that starts the peer.
fn npm(redis: &Path, sites: &str) -> Command {
    let mut command = node("push.mjs");
    command.env("REDIS_SOCKET", redis).env("PUSH_SITES", sites).env("DEVICE_TTL", DEVICE_TTL.to_string());
    command
}

/// The command that starts one gateway, configured in `folder`.
fn own(gateway: &Path, engine: &Engine, stack: Stack, folder: &Path) -> Command {
    let mut command = Command::new(gateway);
    command.arg("serve").arg("--config").arg(folder.join("sites.yml")).args(["--listen", "127.0.0.1:0"]);
    match (engine.url(), stack) {
        (Some(url), _) => command.args(["--broker", &url]),
        (None, Stack::Embedded) => command.arg("--data").arg(folder.join("data")),
        (None, _) => command.arg("--in-memory"),
    };
    command.env("DEVICE_TTL", DEVICE_TTL.to_string()).current_dir(folder);
    command
}

/// The site that both serve. JSON is YAML.
fn sites(auth_port: u16) -> Value {
    json!({ "newsite": {
        "authUrl": format!("http://127.0.0.1:{auth_port}/socketrooms"),
        "authScheme": "Bearer",
        "apiKey": "54321",
        "userRoomPrefix": "user_",
    }})
}
