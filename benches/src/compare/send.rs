//! `/send`: the gateway beside the npm stack that it replaces.
//!
//! ```text
//! round × whom: the gateway, in memory ─▶ the gateway, embedded store ─▶ socket.io + adapter + Redis ─▶ … appendfsync always
//!                 each started anew and pinned, loaded by the workload `send`, with our stub as the site's auth URL
//! ```
//!
//! In: rounds and seconds. Out: a record (JSON) and tables, with medians over the rounds.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    thread,
};

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;

use super::{
    args::CompareArgs,
    build,
    cores::Cores,
    error::CompareError,
    facts::Facts,
    launch::{self, port_in},
    redis::Redis,
    server::node,
};
use crate::{
    args::seconds,
    report::Report,
    target::{Options, Process, Target},
    workload::{Send, Whom, Workload, send::EVERYONE},
};

/// The workload's name.
pub(super) const NAME: &str = "send";

/// How long devices that went away are remembered, in seconds: longer than a run.
const DEVICE_TTL: u32 = 3600;

/// What is loaded.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
enum Stack {
    /// Our gateway, everything in memory.
    InMemory,
    /// Our gateway, which answers when it is on the disk.
    Embedded,
    /// Socket.IO and Redis as it is without further ado, which keeps snapshots at most.
    Redis,
    /// The same with a Redis that answers when it is on the disk.
    StrictRedis,
}

const STACKS: [Stack; 4] = [Stack::InMemory, Stack::Redis, Stack::Embedded, Stack::StrictRedis];

impl Stack {
    fn title(self) -> &'static str {
        match self {
            Self::InMemory => "TokenSocket gateway, in memory",
            Self::Embedded => "TokenSocket gateway, embedded store",
            Self::Redis => "npm socket.io 4.8, redis-adapter, Redis",
            Self::StrictRedis => "the same, appendfsync always",
        }
    }
}

const COURSES: [(Whom, &str); 3] = [
    (Whom::Device, "one of 1,000 connected"),
    (Whom::Room, "a room of 100 connected"),
    (Whom::Offline, "one of 1,000 away"),
];

#[derive(Debug, Deserialize, Serialize)]
struct Measured {
    round: usize,
    stack: Stack,
    to: Whom,
    report: Report,
}

#[derive(Debug, Deserialize, Serialize)]
struct SendRecord {
    facts: Facts,
    seconds: f64,
    measured: Vec<Measured>,
}

/// Runs the rounds, keeps the record, and returns the tables.
pub(super) fn run(arguments: &CompareArgs) -> Result<String, CompareError> {
    let gateway = build::gateway_program()?;
    build::install_node_peers()?;
    let file = |source| CompareError::File { path: arguments.results.clone(), source };
    fs::create_dir_all(&arguments.results).map_err(file)?;
    let results = arguments.results.canonicalize().map_err(file)?;
    let available = thread::available_parallelism().map_or(1, Into::into);
    let cores = (!arguments.unpinned)
        .then(|| Cores::new(&arguments.server_cores, &arguments.two_cores, arguments.load_core, available));
    let auth_port = serve_rooms().map_err(file)?;
    let ground = Ground { gateway, results, auth_port, cores };
    let options = Options { measure: seconds(arguments.seconds), warm_up: seconds(arguments.warm_up) };
    let mut measured = Vec::new();
    for round in 1..=arguments.rounds.max(1) {
        for (to, what) in COURSES {
            for stack in STACKS {
                eprintln!("round {round}: {}, to {what}", stack.title());
                let report = ground.measure(stack, to, &options)?;
                measured.push(Measured { round, stack, to, report });
            }
        }
    }
    let record = SendRecord { facts: Facts::gather(), seconds: arguments.seconds, measured };
    let path = arguments.results.join(format!("send-{}.json", record.facts.unix_seconds));
    let failed = |source| CompareError::File { path: path.clone(), source };
    let text = serde_json::to_vec_pretty(&record).map_err(|error| failed(error.into()))?;
    fs::write(&path, text).map_err(failed)?;
    eprintln!("kept in {}", path.display());
    Ok(render(&record, arguments.markdown))
}

/// What every measurement stands on.
struct Ground {
    gateway: PathBuf,
    results: PathBuf,
    auth_port: u16,
    cores: Option<Cores>,
}

impl Ground {
    fn measure(&self, stack: Stack, to: Whom, options: &Options) -> Result<Report, CompareError> {
        launch::rest()?;
        let folder = self.folder()?;
        let cores = self.cores.as_ref();
        let redis = match stack {
            Stack::Redis => Some(Redis::start(cores)?),
            Stack::StrictRedis => Some(Redis::start_strict(cores, folder.path())?),
            _ => None,
        };
        let mut command = match &redis {
            Some(redis) => {
                let mut command = node("push.mjs");
                command.env("REDIS_SOCKET", redis.socket()).env("PUSH_SITES", self.sites().to_string());
                command.env("DEVICE_TTL", DEVICE_TTL.to_string());
                command
            }
            None => self.gateway(stack, &folder)?,
        };
        command.env("RUST_LOG", "error");
        let (process, port) = launch::start(stack.title(), command, cores, port_in)?;
        let mut target =
            Target::new(&format!("http://127.0.0.1:{port}")).map_err(failed(stack))?.server(process.pid());
        if let Some(redis) = &redis {
            target = target.beside(Process { name: "redis-server".to_owned(), pid: redis.pid() });
        }
        let workload = Workload::Send(Send::to(to));
        crate::run(&target, &workload, options).map_err(failed(stack))
    }

    fn gateway(&self, stack: Stack, folder: &TempDir) -> Result<Command, CompareError> {
        let path = folder.path().join("sites.yml");
        fs::write(&path, self.sites().to_string())
            .map_err(|source| CompareError::File { path: path.clone(), source })?;
        let mut command = Command::new(&self.gateway);
        command.arg("serve").arg("--config").arg(path).args(["--listen", "127.0.0.1:0"]);
        match stack {
            Stack::Embedded => command.arg("--data").arg(folder.path().join("data")),
            _ => command.arg("--in-memory"),
        };
        command.env("DEVICE_TTL", DEVICE_TTL.to_string()).current_dir(folder.path());
        Ok(command)
    }

    /// The site that both serve. JSON is YAML.
    fn sites(&self) -> serde_json::Value {
        json!({ "newsite": {
            "authUrl": format!("http://127.0.0.1:{}/socketrooms", self.auth_port),
            "authScheme": "Bearer",
            "apiKey": "54321",
            "userRoomPrefix": "user_",
        }})
    }

    /// A folder on the disk of the results, which goes with this.
    fn folder(&self) -> Result<TempDir, CompareError> {
        let made = tempfile::Builder::new().prefix(NAME).tempdir_in(&self.results);
        made.map_err(|source| CompareError::File { path: self.results.clone(), source })
    }
}

fn failed(stack: Stack) -> impl Fn(crate::BenchError) -> CompareError {
    move |error| CompareError::Start { name: stack.title().to_owned(), reason: error.to_string() }
}

/// Answers whoever asks for rooms: `user_` and the token, and everybody's. For as long as this process lives.
fn serve_rooms() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer_rooms(stream));
        }
    });
    Ok(port)
}

/// Answers on one connection until it ends.
fn answer_rooms(stream: TcpStream) -> Option<()> {
    let mut answers = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    loop {
        let mut token = None;
        loop {
            let line = lines.next()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("authorization")
            {
                token = value.rsplit(' ').next().map(str::to_owned);
            }
        }
        let body = json!([format!("user_{}", token?), EVERYONE]).to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        answers.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).ok()?;
    }
}

fn render(record: &SendRecord, markdown: bool) -> String {
    let mut table = Table::new();
    table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
    table.set_header([
        "to",
        "server",
        "requests a second",
        "p50 ms",
        "p99 ms",
        "per CPU second",
        "CPU s for 10,000",
        "Redis beside",
    ]);
    let mut rows: BTreeMap<(usize, usize), Vec<&Report>> = BTreeMap::new();
    for one in &record.measured {
        let course = COURSES.iter().position(|(to, _)| *to == one.to).unwrap_or_default();
        let stack = STACKS.iter().position(|stack| *stack == one.stack).unwrap_or_default();
        rows.entry((course, stack)).or_default().push(&one.report);
    }
    for ((course, stack), reports) in &rows {
        let windows = || reports.iter().filter_map(|report| report.window.as_ref());
        let latency = |of: fn(&crate::report::Latency) -> u64| {
            let all = reports.iter().filter_map(|report| report.latency.as_ref().map(of));
            format!("{:.2}", median(all.map(|nanoseconds| to_f64(nanoseconds) / 1e6)))
        };
        let per_ten_thousand = |seconds: f64, count: u64| seconds / to_f64(count) * 10_000.0;
        let own =
            windows().filter_map(|window| Some(per_ten_thousand(window.server_cpu_seconds?, window.count)));
        let beside = windows().filter_map(|window| {
            let (_, seconds) = window.beside_cpu_seconds.first()?;
            Some(per_ten_thousand(*seconds, window.count))
        });
        let beside = match median(beside) {
            0.0 => "–".to_owned(),
            seconds => format!("{seconds:.2}"),
        };
        table.add_row([
            COURSES[*course].1.to_owned(),
            STACKS[*stack].title().to_owned(),
            format!("{:.0}", median(windows().map(crate::report::Window::per_second))),
            latency(|latency| latency.p50),
            latency(|latency| latency.p99),
            format!("{:.0}", median(windows().filter_map(crate::report::Window::per_cpu_second))),
            format!("{:.2}", median(own)),
            beside,
        ]);
    }
    for column in 2..8 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let facts = &record.facts;
    format!(
        "{table}\n{} cores, {}, Linux {}; {} s each, median of {} rounds. Server and Redis on one core, the load on \
         another. 64 requests under way (4 to the room); the next is made when the one before is answered and every \
         device has it. Latencies run to the last device's handler, or, to one who is away, to the answer. {}.\n",
        facts.cores,
        facts.processor,
        facts.kernel,
        record.seconds,
        record.measured.iter().map(|one| one.round).max().unwrap_or(0),
        facts.redis,
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
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use std::io::Read;

    use super::*;
    use crate::report::{Latency, Window};

    #[test]
    fn answers_with_the_rooms_of_a_token() {
        let mut stream = TcpStream::connect(("127.0.0.1", serve_rooms().unwrap())).unwrap();
        let request = "GET /socketrooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bench-7\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with(r#"["user_bench-7","everyone"]"#), "{answer}");
    }

    #[test]
    fn tells_the_median_of_each_stack() {
        let measured = [100, 300, 200].map(|count| Measured {
            round: 1,
            stack: Stack::Redis,
            to: Whom::Room,
            report: Report {
                unit: "requests".to_owned(),
                window: Some(Window {
                    count,
                    seconds: 1.0,
                    server_cpu_seconds: Some(0.5),
                    beside_cpu_seconds: vec![("redis-server".to_owned(), 0.1)],
                    generator_cpu_seconds: None,
                }),
                latency: Some(Latency { p50: 1_000_000, p99: 2_500_000, p999: 3, max: 4 }),
                memory: None,
            },
        });
        let record =
            SendRecord { facts: Facts::default(), seconds: 1.0, measured: measured.into_iter().collect() };
        let text = render(&record, true);
        let row = text.lines().find(|line| line.contains("a room of 100")).unwrap();
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[3..9], ["200", "1.00", "2.50", "400", "25.00", "5.00"], "{text}");
    }
}
