//! Durable messages a second, beside Redis and NATS on the same disk.
//!
//! ```text
//! round: ours ─▶ redis-server, appendfsync always ─▶ nats-server, JetStream ─▶ our histories and presence
//!          each started anew in a folder below the results', loaded by the example `durable`
//! ```
//!
//! In: rounds and seconds. Out: a record (JSON) and tables, with medians over the rounds. Nothing is pinned: what
//! counts is what the whole machine does on the clock, and the disk is the same for all.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use super::{
    args::CompareArgs,
    build,
    error::CompareError,
    facts::Facts,
    launch::{self, Running},
    nats,
};

/// The workload's name.
pub(super) const NAME: &str = "durable";

/// Numbers of connections that a peer's callers share; what did better counts.
const CONNECTIONS: [&str; 2] = ["1", "8"];

const OURS: &str = "TokenSocket, embedded store";
const REDIS: &str = "Redis, appendfsync always";
const NATS: &str = "NATS JetStream, file store";

/// As strict as a nats-server 2.9 can be told to be: in files, one copy. It writes each message before it
/// acknowledges it, and syncs every two minutes; `sync_interval`, with `always`, came with 2.10.
const JETSTREAM: &str = r#"
listen: "127.0.0.1:-1"
log_file: "/dev/stdout"
"#;
const STRICTER: &str = "sync_interval: always";

/// What was measured, once.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Figure {
    what: String,
    callers: usize,
    per_second: f64,
    p50_micros: u64,
    p99_micros: u64,
}

#[derive(Debug, Serialize)]
struct Measured {
    round: usize,
    store: &'static str,
    figure: Figure,
}

#[derive(Debug, Serialize)]
struct DurableRecord {
    facts: Facts,
    seconds: f64,
    /// Whether the NATS server was told to sync each message.
    nats_syncs: bool,
    measured: Vec<Measured>,
}

/// Runs the rounds, keeps the record, and returns the tables.
pub(super) fn run(arguments: &CompareArgs) -> Result<String, CompareError> {
    let program = build::durable_program()?;
    let has_nats = nats::is_installed();
    if !has_nats {
        eprintln!("{}", nats::INSTALL);
    }
    let folder = folder(&arguments.results)?;
    let nats_syncs = has_nats && takes_stricter(folder.path())?;
    let mut measured = Vec::new();
    for round in 1..=arguments.rounds.max(1) {
        let course = Course { program: &program, arguments, folder: &folder.path().join(round.to_string()) };
        let mut add = |store, figures: Vec<Figure>| {
            measured.extend(figures.into_iter().map(|figure| Measured { round, store, figure }));
        };
        eprintln!("round {round}: {OURS}");
        add(OURS, course.ours("ours")?);
        eprintln!("round {round}: {REDIS}");
        add(REDIS, course.redis()?);
        if has_nats {
            eprintln!("round {round}: {NATS}");
            add(NATS, course.nats(nats_syncs)?);
        }
        eprintln!("round {round}: histories and presence");
        add(OURS, course.ours("channels")?);
    }
    let record = DurableRecord { facts: Facts::gather(), seconds: arguments.seconds, nats_syncs, measured };
    let path = arguments.results.join(format!("durable-{}.json", record.facts.unix_seconds));
    let failed = |source| CompareError::File { path: path.clone(), source };
    let text = serde_json::to_vec_pretty(&record).map_err(|error| failed(error.into()))?;
    fs::write(&path, text).map_err(failed)?;
    eprintln!("kept in {}", path.display());
    Ok(render(&record, arguments.markdown))
}

/// A folder on the disk of the results, which goes with this.
fn folder(results: &Path) -> Result<tempfile::TempDir, CompareError> {
    let failed = |source| CompareError::File { path: results.to_owned(), source };
    fs::create_dir_all(results).map_err(failed)?;
    // Servers that are told a folder stand in another one themselves.
    let results = results.canonicalize().map_err(failed)?;
    tempfile::Builder::new().prefix(NAME).tempdir_in(results).map_err(failed)
}

/// Whether this nats-server can be told to sync each message.
fn takes_stricter(folder: &Path) -> Result<bool, CompareError> {
    let path = folder.join("stricter.conf");
    fs::write(&path, configuration(folder, true))
        .map_err(|source| CompareError::File { path: path.clone(), source })?;
    let tried = Command::new("nats-server").arg("-t").arg("-c").arg(path).output();
    Ok(tried.is_ok_and(|output| output.status.success()))
}

fn configuration(folder: &Path, stricter: bool) -> String {
    let strict = if stricter { STRICTER } else { "" };
    let store = folder.join("jetstream");
    format!("{JETSTREAM}\njetstream {{ store_dir: \"{}\"\n {strict} }}\n", store.display())
}

/// One round.
struct Course<'a> {
    program: &'a Path,
    arguments: &'a CompareArgs,
    folder: &'a Path,
}

impl Course<'_> {
    fn ours(&self, what: &str) -> Result<Vec<Figure>, CompareError> {
        self.measure(what, |command| {
            command.arg("--folder").arg(self.folder.join(what));
        })
    }

    fn redis(&self) -> Result<Vec<Figure>, CompareError> {
        better(|connections| {
            let (folder, _running) = self.start_redis(connections)?;
            self.measure("redis", |command| {
                command.arg("--socket").arg(folder.join("redis.sock")).arg("--connections").arg(connections);
            })
        })
    }

    fn start_redis(&self, name: &str) -> Result<(PathBuf, Running), CompareError> {
        let folder = self.make(&format!("redis-{name}"))?;
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(&folder)
            .arg("--unixsocket")
            .arg(folder.join("redis.sock"));
        let ready = |line: &str| line.contains("eady to accept connections").then_some(());
        let (running, ()) = launch::start("redis-server", command, None, ready)?;
        Ok((folder, running))
    }

    fn nats(&self, stricter: bool) -> Result<Vec<Figure>, CompareError> {
        better(|connections| {
            let folder = self.make(&format!("nats-{connections}"))?;
            let path = folder.join("nats.conf");
            fs::write(&path, configuration(&folder, stricter))
                .map_err(|source| CompareError::File { path: path.clone(), source })?;
            let mut command = Command::new("nats-server");
            command.arg("--config").arg(path);
            let (_running, address) = launch::start("nats-server", command, None, nats::address_in)?;
            self.measure("nats", |command| {
                command.args(["--address", &address, "--connections", connections]);
            })
        })
    }

    fn make(&self, name: &str) -> Result<PathBuf, CompareError> {
        let folder = self.folder.join(name);
        match fs::create_dir_all(&folder) {
            Ok(()) => Ok(folder),
            Err(source) => Err(CompareError::File { path: folder, source }),
        }
    }

    /// Runs the example, and reads what it prints.
    fn measure(&self, what: &str, more: impl FnOnce(&mut Command)) -> Result<Vec<Figure>, CompareError> {
        let failed = |reason: String| CompareError::Start { name: format!("durable {what}"), reason };
        launch::rest()?;
        let mut command = Command::new(self.program);
        command
            .arg(format!("--seconds={}", self.arguments.seconds))
            .arg(format!("--warm-up={}", self.arguments.warm_up))
            .arg(what)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        more(&mut command);
        let output = command.output().map_err(|source| CompareError::Program {
            program: self.program.display().to_string(),
            source,
        })?;
        if !output.status.success() {
            return Err(failed(format!("it ended with {}; its output above says why", output.status)));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("its figures cannot be read: {error}")))
    }
}

/// For each number of callers, the figure of that number of connections which did better.
fn better(
    mut measure: impl FnMut(&str) -> Result<Vec<Figure>, CompareError>,
) -> Result<Vec<Figure>, CompareError> {
    let mut best: Vec<Figure> = Vec::new();
    for connections in CONNECTIONS {
        let figures = measure(connections)?;
        if best.is_empty() {
            best = figures;
            continue;
        }
        for (best, figure) in best.iter_mut().zip(figures) {
            if figure.per_second > best.per_second {
                *best = figure;
            }
        }
    }
    Ok(best)
}

fn render(record: &DurableRecord, markdown: bool) -> String {
    let mut rows: BTreeMap<(String, usize, &str), Vec<&Figure>> = BTreeMap::new();
    for one in &record.measured {
        let key = (one.figure.what.clone(), one.figure.callers, one.store);
        rows.entry(key).or_default().push(&one.figure);
    }
    let mut table = Table::new();
    table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
    table.set_header(["what", "callers", "store", "a second", "p50 µs", "p99 µs"]);
    for ((what, callers, store), figures) in &rows {
        let micros =
            |of: fn(&Figure) -> u64| match median(figures.iter().map(|figure| figure_micros(of(figure)))) {
                0.0 => "–".to_owned(),
                micros => format!("{micros:.0}"),
            };
        table.add_row([
            what.clone(),
            callers.to_string(),
            (*store).to_owned(),
            format!("{:.0}", median(figures.iter().map(|figure| figure.per_second))),
            micros(|figure| figure.p50_micros),
            micros(|figure| figure.p99_micros),
        ]);
    }
    for column in [1, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let facts = &record.facts;
    let nats = if record.nats_syncs {
        "NATS was told `sync_interval: always`."
    } else {
        "This NATS cannot be told to sync each message: it acknowledges what it has written, and syncs every two \
         minutes."
    };
    let kernel = &facts.kernel;
    format!(
        "{table}\n{} cores, {}, Linux {kernel}; {} s each, median of {} rounds. Messages of 256 bytes for 2,000 devices; \
         each caller has one under way. Of 1 and 8 connections to a peer, which callers share, the better counts. {}. \
         {}. {nats}\n",
        facts.cores,
        facts.processor,
        record.seconds,
        record.measured.iter().map(|one| one.round).max().unwrap_or(0),
        facts.redis,
        facts.nats,
    )
}

#[allow(clippy::cast_precision_loss, reason = "micros are small")]
fn figure_micros(micros: u64) -> f64 {
    micros as f64
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
    fn tells_the_median_of_each_store_and_number_of_callers() {
        let figure = |per_second| Figure {
            what: "deliver".to_owned(),
            callers: 64,
            per_second,
            p50_micros: 3,
            p99_micros: 0,
        };
        let measured = [3.0, 1.0, 2.0]
            .into_iter()
            .enumerate()
            .map(|(round, per_second)| Measured { round: round + 1, store: OURS, figure: figure(per_second) })
            .collect();
        let record = DurableRecord { facts: Facts::default(), seconds: 1.0, nats_syncs: false, measured };
        let text = render(&record, true);
        assert!(
            text.contains("| deliver |      64 | TokenSocket, embedded store |        2 |      3 |      – |"),
            "{text}"
        );
        assert!(text.contains("median of 3 rounds"), "{text}");
    }
}
