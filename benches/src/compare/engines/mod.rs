//! Several nodes on one engine: what goes through, and what it costs beside a single node without one.
//!
//! ```text
//! round × course × stack: engine ─▶ one, two or three nodes ─▶ loaded by `relay` or `deliver`, which spread over the nodes
//!    stacks: ours in memory, on Redis, on NATS; npm socket.io by itself, with its Redis adapter
//! ```
//!
//! In: rounds and seconds. Out: a record (JSON), a table and a plot, with medians over the rounds. All nodes and the
//! engine share the server's cores, so figures of several nodes on one core tell what nodes cost, and not how far they
//! scale.

mod course;
mod figures;
mod stack;

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use course::{COURSES, Course};
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

/// The workload's name.
pub(super) const NAME: &str = "engines";

/// What is measured of whom, on how many nodes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Place {
    course: Course,
    stack: Stack,
    nodes: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { course, stack, nodes } = self;
        write!(out, "{}, {}, {nodes} nodes", course.title(), stack.title())
    }
}

impl Place {
    /// What this is compared with.
    fn without_engine(self) -> Option<Self> {
        self.stack.has_engine().then(|| Self { stack: self.stack.without_engine(), nodes: 1, ..self })
    }
}

/// Runs the rounds, or reads the record that `--from` names; draws the plot, and returns the table.
pub(super) fn run(arguments: &CompareArgs) -> Result<String, CompareError> {
    let series = if let Some(path) = &arguments.from {
        record::read(path)?
    } else {
        let (series, path) = measure(arguments)?;
        figures::plot(&series).save(&path.with_extension("svg"))?;
        series
    };
    if let Some(path) = &arguments.svg {
        figures::plot(&series).save(path)?;
    }
    Ok(figures::table(&series, arguments.markdown))
}

fn measure(arguments: &CompareArgs) -> Result<(Series<Place>, PathBuf), CompareError> {
    let courses = arguments.courses(NAME, &COURSES, Course::name)?;
    let stacks = engine::installed(arguments.stacks(&STACKS, Stack::name)?, Stack::engine);
    let places: Vec<_> = courses
        .into_iter()
        .flat_map(|course| {
            stacks.iter().filter(move |stack| course.is_for(**stack)).map(move |stack| (course, *stack))
        })
        .flat_map(|(course, stack)| stack.nodes().map(move |nodes| Place { course, stack, nodes }))
        .collect();
    let program = build::node_program()?;
    build::install_node_peers()?;
    let ground = Ground::new(arguments)?;
    Series::measure(NAME, arguments, &places, |Place { course, stack, nodes }| {
        launch::rest()?;
        let engine = Engine::start(stack.engine(), &ground)?;
        let command = |engine: &Engine| command(stack, engine, &program);
        let service = Service::start(stack.title(), nodes, engine, &ground, command)?;
        service.load(stack.dialect(), &course.workload(), &ground)
    })
}

/// The command that starts one node.
fn command(stack: Stack, engine: &Engine, program: &Path) -> Command {
    if !stack.is_ours() {
        let mut command = node("socketio.mjs");
        if let Engine::Redis { port, .. } = engine {
            command.env("REDIS_PORT", port.to_string());
        }
        return command;
    }
    let mut command = Command::new(program);
    if let Some(url) = engine.url() {
        command.args(["--engine", &url]);
    }
    command
}
