//! `tokensocket check`: whether a configuration can be served.
//!
//! In: files, and the environment. Out: on standard output what is configured, and every mistake with its line and what
//! to write instead.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde_json::json;
use tokensocket_server::EngineStatus;
use tokio::runtime;

use super::manual;
use crate::config::{self, BrokerConfig, Loaded, Mistake};
use crate::engine::{Engine, EngineError};

/// Says what is wrong with a configuration
///
/// Reads a configuration as `serve --config` does, serves nothing, and prints each mistake with its file, line and
/// column, and what to write instead. What is only of no effect is printed as a note, and is no mistake. When all
/// is well it says which sites there are.
///
/// A PATH is a file in YAML or TOML, or a folder with files of the usual names: `tokensocket.yml`, or `config.yml` and
/// `sites.yml`. Variables of the environment count as they do for `serve`. Without a PATH it is the environment if
/// `SITE_NAME` is set there, and else the working directory.
///
/// Nothing is connected to, unless --connect is given: then the engine of `broker:` is tried, and what it lacks is
/// printed.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket check tokensocket.yml
  tokensocket check /etc/tokensocket
  tokensocket check config.yml sites.yml --json | jq '.mistakes[].line'"),
    ("Exit status", "  \
  0  it can be served
  1  it has mistakes, or cannot be read
  2  the command line is wrong; nothing was read"),
    manual::ENVIRONMENT,
]))]
pub(super) struct Check {
    /// Files, or folders with files of the usual names
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Connect to the engine that is configured, too
    #[arg(long)]
    connect: bool,
    /// Print one JSON object with `ok`, `sites`, and `mistakes` with their places
    #[arg(long)]
    json: bool,
}

/// It cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{}; nothing would be served", counted(*.0))]
struct NotServable(usize);

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let variable = |name: &str| env::var(name).ok();
        let paths = match self.paths {
            none if none.is_empty() && !config::is_in_environment(variable) => vec![PathBuf::from(".")],
            named => named,
        };
        let loaded = config::load(&paths, variable);
        let broker = loaded.settings.as_ref().and_then(|settings| settings.broker.as_ref());
        let engine = match broker.filter(|_| self.connect) {
            Some(broker) => Some(try_engine(broker)?),
            None => None,
        };
        let printed =
            if self.json { print_json(&loaded, engine.as_ref()) } else { print(&loaded, engine.as_ref()) };
        printed?;
        match loaded.settings {
            Some(_) => match engine {
                Some(Err(error)) => Err(error.into()),
                _ => Ok(()),
            },
            None => Err(NotServable(loaded.mistakes.iter().filter(|mistake| mistake.severe).count()).into()),
        }
    }
}

/// Connects to an engine, and says how it stands with it.
fn try_engine(config: &BrokerConfig) -> io::Result<Result<EngineStatus, EngineError>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async { Engine::connect(config).await.map(|engine| engine.status()) }))
}

fn print_json(
    Loaded { settings, mistakes, files }: &Loaded,
    engine: Option<&Result<EngineStatus, EngineError>>,
) -> io::Result<()> {
    let sites: Vec<&str> =
        settings.iter().flat_map(|settings| &settings.sites).map(|site| &*site.name).collect();
    let is_well = settings.is_some() && !engine.is_some_and(Result::is_err);
    let mut said = json!({ "ok": is_well, "files": files, "sites": sites, "mistakes": mistakes });
    match engine {
        Some(Ok(EngineStatus { name, address, version, lacks, .. })) => {
            said["broker"] =
                json!({ "engine": name, "address": address, "version": version, "lacks": lacks });
        }
        Some(Err(error)) => said["broker"] = json!({ "error": error.to_string() }),
        None => {}
    }
    writeln!(io::stdout().lock(), "{said}")
}

fn print(
    Loaded { settings, mistakes, .. }: &Loaded,
    engine: Option<&Result<EngineStatus, EngineError>>,
) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    for mistake in mistakes {
        let (colour, what) =
            if mistake.severe { (AnsiColor::Red, "error") } else { (AnsiColor::Yellow, "note") };
        let (kind, place) = (colour.on_default().bold(), Style::new().bold());
        let Mistake { file, line, column, message, suggestion, .. } = mistake;
        write!(out, "{place}{file}")?;
        if *line > 0 {
            write!(out, ":{line}:{column}")?;
        }
        writeln!(out, ":{place:#} {kind}{what}:{kind:#} {message}")?;
        for suggestion in suggestion.iter().flat_map(|suggestion| suggestion.lines()) {
            writeln!(out, "  {suggestion}")?;
        }
    }
    if let Some(Ok(EngineStatus { name, address, version, lacks, .. })) = engine {
        let version = version.as_deref().unwrap_or("of an unknown version");
        writeln!(out, "{name} at {address} answers: {version}")?;
        for lack in lacks {
            let note = AnsiColor::Yellow.on_default().bold();
            writeln!(out, "  {note}note:{note:#} {lack}")?;
        }
    }
    if let Some(settings) = settings.as_ref().filter(|_| !engine.is_some_and(Result::is_err)) {
        let sites: Vec<&str> = settings.sites.iter().map(|site| &*site.name).collect();
        writeln!(out, "all is well: {}", sites.join(", "))?;
    }
    Ok(())
}

fn counted(mistakes: usize) -> String {
    if mistakes == 1 { "1 mistake".to_owned() } else { format!("{mistakes} mistakes") }
}
