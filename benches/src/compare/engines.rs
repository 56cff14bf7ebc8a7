//! Several nodes on one engine: what goes through, and what it costs beside a single node without one.
//!
//! ```text
//! round × course × stack: engine ─▶ one, two or three nodes ─▶ loaded by `relay`, which spreads over the nodes
//!    stacks: ours in memory, on Redis, on NATS; npm socket.io by itself, with its Redis adapter
//! ```
//!
//! In: rounds and seconds. Out: a record (JSON) and a table, with medians over the rounds. All nodes and the engine share
//! the server's cores, so figures of several nodes on one core tell what nodes cost, and not how far they scale.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{
    args::CompareArgs,
    build,
    cores::Cores,
    error::CompareError,
    facts::Facts,
    launch::{self, Running, port_in},
    nats,
    redis::Redis,
    server::node,
};
use crate::{
    args::seconds,
    report::{Latency, Report, Window},
    target::{DialectName, Options, Process, Target},
    workload::{Relay, Workload},
};

/// The workload's name.
pub(super) const NAME: &str = "engines";

/// What a process of an engine is called in reports; all others beside the first node are nodes.
const ENGINE: &str = "engine";

/// Whose nodes, and on what.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
enum Stack {
    /// Ours, by itself.
    Memory,
    /// Ours on Redis.
    Redis,
    /// Ours on NATS.
    Nats,
    /// npm socket.io, by itself.
    Socketio,
    /// npm socket.io with its Redis adapter.
    SocketioRedis,
}

const STACKS: [Stack; 5] = [Stack::Memory, Stack::Redis, Stack::Nats, Stack::Socketio, Stack::SocketioRedis];

/// How many nodes there are at most.
const NODES: usize = 3;

impl Stack {
    fn title(self) -> &'static str {
        match self {
            Self::Memory => "TokenSocket, in memory",
            Self::Redis => "TokenSocket, Redis",
            Self::Nats => "TokenSocket, NATS",
            Self::Socketio => "npm socket.io 4.8, in memory",
            Self::SocketioRedis => "npm socket.io 4.8, redis-adapter",
        }
    }

    /// What it is compared with.
    fn without_engine(self) -> Self {
        match self {
            Self::Memory | Self::Redis | Self::Nats => Self::Memory,
            Self::Socketio | Self::SocketioRedis => Self::Socketio,
        }
    }

    fn is_ours(self) -> bool {
        self.without_engine() == Self::Memory
    }

    fn nodes(self) -> std::ops::RangeInclusive<usize> {
        1..=if self == self.without_engine() { 1 } else { NODES }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Course {
    /// Publications, each to one follower.
    Publications,
    /// The same on channels with history.
    Kept,
    /// Deliveries of few publications to many followers.
    Deliveries,
    /// One publication at a time: how long it takes.
    OneByOne,
}

const COURSES: [Course; 4] = [Course::Publications, Course::Kept, Course::Deliveries, Course::OneByOne];

impl Course {
    fn title(self) -> &'static str {
        match self {
            Self::Publications => "publications, 16 channels, 1 follower each",
            Self::Kept => "the same with history",
            Self::Deliveries => "deliveries, 1 channel, 300 followers",
            Self::OneByOne => "one publication at a time",
        }
    }

    fn relay(self) -> Relay {
        let usual = Relay::default();
        match self {
            Self::Publications => Relay { in_flight: 8, ..usual },
            Self::Kept => Relay { in_flight: 8, channel: "kept".to_owned(), ..usual },
            Self::Deliveries => Relay { channels: 1, followers: 300, in_flight: 2, ..usual },
            Self::OneByOne => Relay { channels: 1, in_flight: 1, ..usual },
        }
    }

    /// socket.io keeps nothing.
    fn is_for(self, stack: Stack) -> bool {
        self != Self::Kept || stack.is_ours()
    }
}

#[derive(Debug, Deserialize, Serialize)]
struct Measured {
    round: usize,
    course: Course,
    stack: Stack,
    nodes: usize,
    report: Report,
}

#[derive(Debug, Deserialize, Serialize)]
struct EnginesRecord {
    facts: Facts,
    seconds: f64,
    measured: Vec<Measured>,
}

/// Runs the rounds, or reads the record that `--from` names; keeps it, and returns the table.
pub(super) fn run(arguments: &CompareArgs) -> Result<String, CompareError> {
    if let Some(path) = &arguments.from {
        let failed = |source| CompareError::File { path: path.clone(), source };
        let text = fs::read(path).map_err(failed)?;
        let record = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
        return Ok(render(&record, arguments.markdown));
    }
    let program = build::node_program()?;
    build::install_node_peers()?;
    let has_nats = nats::is_installed();
    if !has_nats {
        eprintln!("{}", nats::INSTALL);
    }
    let file = |source| CompareError::File { path: arguments.results.clone(), source };
    fs::create_dir_all(&arguments.results).map_err(file)?;
    let results = arguments.results.canonicalize().map_err(file)?;
    let available = thread::available_parallelism().map_or(1, Into::into);
    let cores = (!arguments.unpinned)
        .then(|| Cores::new(&arguments.server_cores, &arguments.two_cores, arguments.load_core, available));
    let ground = Ground { program, results, cores };
    let options = Options { measure: seconds(arguments.seconds), warm_up: seconds(arguments.warm_up) };
    let mut measured = Vec::new();
    for round in 1..=arguments.rounds.max(1) {
        for course in COURSES {
            for stack in STACKS.into_iter().filter(|stack| has_nats || *stack != Stack::Nats) {
                for nodes in stack.nodes().filter(|_| course.is_for(stack)) {
                    eprintln!("round {round}: {}, {}, {nodes} nodes", course.title(), stack.title());
                    let report = ground.measure(stack, course, nodes, &options)?;
                    measured.push(Measured { round, course, stack, nodes, report });
                }
            }
        }
    }
    let record = EnginesRecord { facts: Facts::gather(), seconds: arguments.seconds, measured };
    let path = arguments.results.join(format!("{NAME}-{}.json", record.facts.unix_seconds));
    let failed = |source| CompareError::File { path: path.clone(), source };
    let text = serde_json::to_vec_pretty(&record).map_err(|error| failed(error.into()))?;
    fs::write(&path, text).map_err(failed)?;
    eprintln!("kept in {}", path.display());
    Ok(render(&record, arguments.markdown))
}

/// What every measurement stands on.
struct Ground {
    program: PathBuf,
    results: PathBuf,
    cores: Option<Cores>,
}

/// A running engine, which ends with this.
enum Engine {
    None,
    Redis { running: Redis, port: u16 },
    Nats { running: Running, address: String, _folder: TempDir },
}

impl Engine {
    fn pid(&self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Redis { running, .. } => Some(running.pid()),
            Self::Nats { running, .. } => Some(running.pid()),
        }
    }
}

impl Ground {
    fn measure(
        &self,
        stack: Stack,
        course: Course,
        nodes: usize,
        options: &Options,
    ) -> Result<Report, CompareError> {
        launch::rest()?;
        let engine = self.engine(stack)?;
        let started: Vec<(Running, u16)> = (0..nodes)
            .map(|_| launch::start(stack.title(), self.command(stack, &engine), self.cores.as_ref(), port_in))
            .collect::<Result<_, _>>()?;
        let failed = |error: crate::BenchError| CompareError::Start {
            name: stack.title().to_owned(),
            reason: error.to_string(),
        };
        let Some(((first, port), others)) = started.split_first() else {
            return Err(failed(crate::BenchError::Stalled));
        };
        let mut target =
            Target::new(&format!("http://127.0.0.1:{port}")).map_err(failed)?.server(first.pid());
        for (at, (node, port)) in others.iter().enumerate() {
            let name = format!("node {}", at + 2);
            target = target.node(*port).beside(Process { name, pid: node.pid() });
        }
        if let Some(pid) = engine.pid() {
            target = target.beside(Process { name: ENGINE.to_owned(), pid });
        }
        if !stack.is_ours() {
            target = target.dialect(DialectName::Socketio);
        }
        crate::run(&target, &Workload::Relay(course.relay()), options).map_err(failed)
    }

    fn engine(&self, stack: Stack) -> Result<Engine, CompareError> {
        let cores = self.cores.as_ref();
        Ok(match stack {
            Stack::Memory | Stack::Socketio => Engine::None,
            Stack::Redis | Stack::SocketioRedis => {
                let (running, port) = Redis::start_on_port(cores)?;
                Engine::Redis { running, port }
            }
            Stack::Nats => {
                let folder = folder(&self.results)?;
                let command = nats::jetstream_command(folder.path())?;
                let (running, address) = launch::start("nats-server", command, cores, nats::address_in)?;
                Engine::Nats { running, address, _folder: folder }
            }
        })
    }

    fn command(&self, stack: Stack, engine: &Engine) -> Command {
        let mut command = if stack.is_ours() { Command::new(&self.program) } else { node("socketio.mjs") };
        match engine {
            Engine::None => {}
            Engine::Redis { port, .. } if stack.is_ours() => {
                command.args(["--engine", &format!("redis://127.0.0.1:{port}")]);
            }
            Engine::Redis { port, .. } => {
                command.env("REDIS_PORT", port.to_string());
            }
            Engine::Nats { address, .. } => {
                command.args(["--engine", &format!("nats://{address}")]);
            }
        }
        command.env("RUST_LOG", "error");
        command
    }
}

/// A folder on the disk of the results, which goes with this.
fn folder(results: &Path) -> Result<TempDir, CompareError> {
    let made = tempfile::Builder::new().prefix(NAME).tempdir_in(results);
    made.map_err(|source| CompareError::File { path: results.to_owned(), source })
}

/// The medians of one row.
struct Row {
    per_second: f64,
    p50: f64,
    p99: f64,
    nodes_cpu: f64,
    engine_cpu: f64,
}

impl Row {
    fn of(reports: &[&Report]) -> Self {
        let windows = || reports.iter().filter_map(|report| report.window.as_ref());
        let latency = |of: fn(&Latency) -> u64| {
            let all = reports.iter().filter_map(|report| report.latency.as_ref().map(of));
            median(all.map(|nanoseconds| to_f64(nanoseconds) / 1e6))
        };
        let cost = |is_engine: bool| median(windows().map(|window| per_100_000(window, is_engine)));
        Self {
            per_second: median(windows().map(Window::per_second)),
            p50: latency(|latency| latency.p50),
            p99: latency(|latency| latency.p99),
            nodes_cpu: cost(false),
            engine_cpu: cost(true),
        }
    }
}

/// CPU seconds of the engine, or of all nodes, for 100,000 of what was counted.
fn per_100_000(window: &Window, of_engine: bool) -> f64 {
    let beside = window.beside_cpu_seconds.iter().filter(|(name, _)| (name == ENGINE) == of_engine);
    let first = window.server_cpu_seconds.filter(|_| !of_engine).unwrap_or_default();
    (beside.map(|(_, seconds)| seconds).sum::<f64>() + first) / to_f64(window.count) * 100_000.0
}

fn render(record: &EnginesRecord, markdown: bool) -> String {
    let mut rows: BTreeMap<(Course, Stack, usize), Vec<&Report>> = BTreeMap::new();
    for one in &record.measured {
        rows.entry((one.course, one.stack, one.nodes)).or_default().push(&one.report);
    }
    let rows: BTreeMap<_, Row> = rows.into_iter().map(|(key, reports)| (key, Row::of(&reports))).collect();
    let mut table = Table::new();
    table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
    table.set_header([
        "what",
        "server",
        "nodes",
        "a second",
        "of one without",
        "p50 ms",
        "p99 ms",
        "added p50",
        "added p99",
        "CPU s for 100,000: nodes",
        "engine",
    ]);
    for ((course, stack, nodes), row) in &rows {
        let base =
            rows.get(&(*course, stack.without_engine(), 1)).filter(|_| *stack != stack.without_engine());
        let of_base = |text: &dyn Fn(&Row) -> String| base.map_or_else(|| "–".to_owned(), text);
        table.add_row([
            course.title().to_owned(),
            stack.title().to_owned(),
            nodes.to_string(),
            format!("{:.0}", row.per_second),
            of_base(&|base| format!("{:.0} %", row.per_second / base.per_second * 100.0)),
            format!("{:.2}", row.p50),
            format!("{:.2}", row.p99),
            of_base(&|base| format!("{:+.2}", row.p50 - base.p50)),
            of_base(&|base| format!("{:+.2}", row.p99 - base.p99)),
            format!("{:.2}", row.nodes_cpu),
            if row.engine_cpu > 0.0 { format!("{:.2}", row.engine_cpu) } else { "–".to_owned() },
        ]);
    }
    for column in 2..11 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let facts = &record.facts;
    format!(
        "{table}\n{} cores, {}, Linux {}; {} s each, median of {} rounds. Messages of 128 bytes. All nodes and the engine on \
         one core, the load on another: figures of several nodes tell what nodes cost, not how far they scale. A follower \
         is on another node than the publisher, where there is one. Redis keeps nothing on its disk; histories in NATS are \
         in files. {}. {}.\n",
        facts.cores,
        facts.processor,
        facts.kernel,
        record.seconds,
        record.measured.iter().map(|one| one.round).max().unwrap_or(0),
        facts.redis,
        facts.nats,
    )
}

#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_an_engine_takes_and_adds() {
        let measured = |stack, count, p50, beside: &[(&str, f64)]| Measured {
            round: 1,
            course: Course::Publications,
            stack,
            nodes: if stack == Stack::Memory { 1 } else { 2 },
            report: Report {
                unit: "deliveries".to_owned(),
                window: Some(Window {
                    count,
                    seconds: 1.0,
                    server_cpu_seconds: Some(0.5),
                    beside_cpu_seconds: beside.iter().map(|(name, cpu)| ((*name).to_owned(), *cpu)).collect(),
                    generator_cpu_seconds: None,
                }),
                latency: Some(Latency { p50, p99: 2 * p50, p999: 0, max: 0 }),
                memory: None,
            },
        };
        let beside = [("node 2", 0.25), (ENGINE, 0.1)];
        let record = EnginesRecord {
            facts: Facts::default(),
            seconds: 1.0,
            measured: vec![
                measured(Stack::Memory, 100_000, 1_000_000, &[]),
                measured(Stack::Redis, 50_000, 1_500_000, &beside),
            ],
        };
        let text: String = render(&record, true).split_whitespace().collect();
        assert!(text.contains("|TokenSocket,inmemory|1|100000|–|1.00|2.00|–|–|0.50|–|"), "{text}");
        assert!(text.contains("|TokenSocket,Redis|2|50000|50%|1.50|3.00|+0.50|+1.00|1.50|0.20|"), "{text}");
    }
}
