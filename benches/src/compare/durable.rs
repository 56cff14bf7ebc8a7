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

use serde::{Deserialize, Serialize};

use super::{
    args::CompareArgs,
    build,
    error::CompareError,
    facts::Facts,
    ground::Ground,
    launch,
    medians::{median, to_f64},
    nats, record,
    redis::Redis,
    table::{
        self,
        Column::{Figures, Words},
        or_dash,
    },
};

/// The workload's name.
pub(super) const NAME: &str = "durable";

/// Numbers of connections that a peer's callers share; what did better counts.
const CONNECTIONS: [&str; 2] = ["1", "8"];

const OURS: &str = "TokenSocket, embedded store";
const REDIS: &str = "Redis, appendfsync always";
const NATS: &str = "NATS JetStream, file store";

/// What was measured, once.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Figure {
    what: String,
    callers: usize,
    per_second: f64,
    p50_micros: u64,
    p99_micros: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Measured {
    round: usize,
    store: String,
    figure: Figure,
}

#[derive(Debug, Deserialize, Serialize)]
struct DurableRecord {
    facts: Facts,
    seconds: f64,
    /// Whether the NATS server was told to sync each message.
    nats_syncs: bool,
    measured: Vec<Measured>,
}

/// Runs the rounds, or reads the record that `--from` names; returns the table.
pub(super) fn run(arguments: &CompareArgs) -> Result<String, CompareError> {
    let record = match &arguments.from {
        Some(path) => record::read(path)?,
        None => measure(arguments)?,
    };
    Ok(render(&record, arguments.markdown))
}

fn measure(arguments: &CompareArgs) -> Result<DurableRecord, CompareError> {
    let program = build::durable_program()?;
    let has_nats = nats::is_installed();
    if !has_nats {
        eprintln!("{}", nats::INSTALL);
    }
    let folder = Ground::new(arguments)?.folder(NAME)?;
    let sync = if has_nats { nats::strictest(folder.path())? } else { nats::Sync::Seldom };
    let mut measured = Vec::new();
    for round in 1..=arguments.rounds.max(1) {
        let course = Course { program: &program, arguments, folder: &folder.path().join(round.to_string()) };
        let mut add = |store: &str, figures: Vec<Figure>| {
            let figures = figures.into_iter();
            measured.extend(figures.map(|figure| Measured { round, store: store.to_owned(), figure }));
        };
        eprintln!("round {round}: {OURS}");
        add(OURS, course.ours("ours")?);
        eprintln!("round {round}: {REDIS}");
        add(REDIS, course.redis()?);
        if has_nats {
            eprintln!("round {round}: {NATS}");
            add(NATS, course.nats(sync)?);
        }
        eprintln!("round {round}: histories and presence");
        add(OURS, course.ours("channels")?);
    }
    let nats_syncs = sync == nats::Sync::Always;
    let record = DurableRecord { facts: Facts::gather(), seconds: arguments.seconds, nats_syncs, measured };
    record::keep(&record, NAME, record.facts.unix_seconds, &arguments.results)?;
    Ok(record)
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
            let folder = self.make(&format!("redis-{connections}"))?;
            let redis = Redis::start_strict(&folder, None)?;
            self.measure("redis", |command| {
                command.arg("--socket").arg(redis.socket()).arg("--connections").arg(connections);
            })
        })
    }

    fn nats(&self, sync: nats::Sync) -> Result<Vec<Figure>, CompareError> {
        better(|connections| {
            let folder = self.make(&format!("nats-{connections}"))?;
            let command = nats::jetstream_command(&folder, sync)?;
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
    let mut rows: BTreeMap<(&str, usize, &str), Vec<&Figure>> = BTreeMap::new();
    for Measured { store, figure, .. } in &record.measured {
        rows.entry((&figure.what, figure.callers, store)).or_default().push(figure);
    }
    let mut table = table::table([
        Words("what"),
        Figures("callers"),
        Words("store"),
        Figures("a second"),
        Figures("p50 µs"),
        Figures("p99 µs"),
    ]);
    for ((what, callers, store), figures) in &rows {
        let over = |pick: &dyn Fn(&Figure) -> f64| median(figures.iter().map(|figure| pick(figure)));
        let whole = |figure| format!("{figure:.0}");
        // What was not timed one by one is kept as 0.
        let timed = |micros: &f64| *micros > 0.0;
        table.add_row([
            (*what).to_owned(),
            callers.to_string(),
            (*store).to_owned(),
            or_dash(over(&|figure| figure.per_second), whole),
            or_dash(over(&|figure| to_f64(figure.p50_micros)).filter(timed), whole),
            or_dash(over(&|figure| to_f64(figure.p99_micros)).filter(timed), whole),
        ]);
    }
    let facts = &record.facts;
    let nats = if record.nats_syncs {
        "NATS was told `sync_interval: always`."
    } else {
        "This NATS cannot be told to sync each message: it acknowledges what it has written, and syncs every two \
         minutes."
    };
    let rounds = record.measured.iter().map(|one| one.round).max().unwrap_or(0);
    format!(
        "{}\n{} Messages of 256 bytes for 2,000 devices; each caller has one under way. Of 1 and 8 connections to a \
         peer, which callers share, the better counts. {}. {}. {nats}\n",
        table::show(table, markdown),
        facts.conditions(record.seconds, rounds),
        facts.redis,
        facts.nats,
    )
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
            .map(|(round, per_second)| Measured {
                round: round + 1,
                store: OURS.to_owned(),
                figure: figure(per_second),
            })
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
