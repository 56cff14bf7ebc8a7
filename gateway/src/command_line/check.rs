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

use super::manual;
use crate::config::{self, Loaded, Mistake};

/// Says what is wrong with a configuration
///
/// Reads a configuration as `serve --config` does, serves nothing, and prints each mistake with its file, line and
/// column, and what to write instead. What is only of no effect is printed as a note, and is no mistake. When all
/// is well it says which sites there are.
///
/// A PATH is a file in YAML or TOML, or a folder with files of the usual names: `tokensocket.yml`, or `config.yml` and
/// `sites.yml`. Variables of the environment count as they do for `serve`. Without a PATH it is the environment if
/// `SITE_NAME` is set there, and else the working directory.
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
        let printed = if self.json { print_json(&loaded) } else { print(&loaded) };
        printed?;
        match loaded.settings {
            Some(_) => Ok(()),
            None => Err(NotServable(loaded.mistakes.iter().filter(|mistake| mistake.severe).count()).into()),
        }
    }
}

fn print_json(Loaded { settings, mistakes, files }: &Loaded) -> io::Result<()> {
    let sites: Vec<&str> =
        settings.iter().flat_map(|settings| &settings.sites).map(|site| &*site.name).collect();
    let said = json!({ "ok": settings.is_some(), "files": files, "sites": sites, "mistakes": mistakes });
    writeln!(io::stdout().lock(), "{said}")
}

fn print(Loaded { settings, mistakes, .. }: &Loaded) -> io::Result<()> {
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
    if let Some(settings) = settings {
        let sites: Vec<&str> = settings.sites.iter().map(|site| &*site.name).collect();
        writeln!(out, "all is well: {}", sites.join(", "))?;
    }
    Ok(())
}

fn counted(mistakes: usize) -> String {
    if mistakes == 1 { "1 mistake".to_owned() } else { format!("{mistakes} mistakes") }
}
