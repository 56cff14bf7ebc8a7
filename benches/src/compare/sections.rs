//! A record as sections, each a heading and a table, for a terminal or for Markdown.

use std::{fmt::Write, time::Duration};

use comfy_table::Table;

use super::{
    cores::Cores,
    plan::is_of_transport,
    record::Record,
    scale::Scale,
    server::{OURS, TWO_CORES},
    summary::{Cell, Summary},
    table::{
        Column::{Figures, Words},
        grouped, or_dash, show, table,
    },
    targets, transports,
};
use crate::report::Latency;

/// All tables of `record`, ready to print.
pub(super) fn render(record: &Record, markdown: bool, with_targets: bool) -> String {
    let summary = Summary::of(record);
    let mut out = machine(record);
    let mut section = |title: &str, table: Option<Table>| {
        if let Some(table) = table {
            let mark = if markdown { "### " } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "\n{mark}{title}\n\n{}", show(table, markdown));
        }
    };
    section(&heading(&summary), figures(&summary));
    section("How many times better ours is", leads(&summary));
    section(transports::HEADING, transports::table(&summary));
    section("Rates, latencies, and the share of a core used", details(&summary));
    if with_targets {
        section("What is wanted, and whether it is met", Some(wanted(&summary)));
    }
    out
}

/// What the figures are, with a word for each workload whose are others.
fn heading(summary: &Summary) -> String {
    let mut out = String::from("Per second of server CPU time");
    let others = usual(summary).filter(|workload| Scale::of(workload) != Scale::PerCpuSecond);
    for (index, workload) in others.enumerate() {
        let _ =
            write!(out, "{} {workload}: {}", if index == 0 { ";" } else { "," }, Scale::of(workload).words());
    }
    out
}

fn machine(record: &Record) -> String {
    let facts = &record.facts;
    let pinned = match &record.cores {
        Some(cores) => {
            format!("servers pinned to {}, load to core {}", listed(&cores.server), cores.load)
        }
        None => "nothing pinned".to_owned(),
    };
    let mut out = format!(
        "{} cores ({}), Linux {}, {}, Node.js {}; {pinned}; rounds of {} s: {}; medians over them.\n",
        facts.cores,
        facts.processor,
        facts.kernel,
        facts.rustc,
        facts.node,
        record.measured_seconds,
        record.measurements.iter().map(|one| one.round).max().unwrap_or(0),
    );
    if let Some(note) = record.cores.as_ref().and_then(|cores| sharing(cores, record)) {
        out.push_str(&note);
    }
    out
}

/// What the cores mean for the figures, where they are not the usual ones.
fn sharing(cores: &Cores, record: &Record) -> Option<String> {
    if cores.shares(&cores.server) {
        return Some(format!(
            "The load generator shares core {} with the servers: only figures per second of server CPU time \
             compare.\n",
            cores.load
        ));
    }
    let two = record.measurements.iter().any(|one| one.server == TWO_CORES);
    two.then(|| {
        let shared = if cores.shares(&cores.two) {
            ", the load generator on one of them: its rate on the clock says nothing, and with the core \
             shared the figure is an estimate"
        } else {
            ""
        };
        format!(
            "The row with two cores ran on {}{shared}. What a second core is worth is told by work per second \
             of CPU time, which two cores have twice as much of.\n",
            listed(&cores.two)
        )
    })
}

fn listed(cores: &[usize]) -> String {
    let numbers: Vec<_> = cores.iter().map(usize::to_string).collect();
    format!("core{} {}", if cores.len() == 1 { "" } else { "s" }, numbers.join(" and "))
}

fn wanted(summary: &Summary) -> Table {
    let mut table = table(["workload", "what", "wanted", "measured", "met"].map(Words));
    for verdict in targets::judge(summary) {
        let measured = or_dash(verdict.measured, |figure| verdict.unit.show(figure));
        table.add_row([verdict.workload, verdict.what, &verdict.bound(), &measured, verdict.outcome()]);
    }
    table
}

/// The workloads but for those of transports, which have a table of their own.
fn usual(summary: &Summary) -> impl Iterator<Item = &str> {
    summary.workloads.iter().map(String::as_str).filter(|workload| !is_of_transport(workload))
}

fn figures(summary: &Summary) -> Option<Table> {
    grid(summary, |server, workload| shown(summary.cell(server, workload), workload))
}

/// A figure as tables have it, or why there is none.
pub(super) fn shown(cell: Option<&Cell>, workload: &str) -> String {
    match cell {
        Some(Cell { figure: Some(figure), .. }) => Scale::of(workload).show(*figure),
        Some(Cell { failures: 1.., .. }) => "failed".to_owned(),
        _ => "–".to_owned(),
    }
}

fn leads(summary: &Summary) -> Option<Table> {
    let is_there = summary.servers.iter().any(|(name, _)| name == OURS);
    if !is_there || summary.servers.len() < 2 {
        return None;
    }
    grid(summary, |server, workload| lead(summary, server, workload))
}

/// How many times better ours is than `server`, as tables have it.
pub(super) fn lead(summary: &Summary, server: &str, workload: &str) -> String {
    or_dash(summary.lead_over(server, workload), |lead| format!("{lead:.2}"))
}

/// A row for each server, a column for each usual workload; none without any.
fn grid(summary: &Summary, fill: impl Fn(&str, &str) -> String) -> Option<Table> {
    let mut table = table(std::iter::once(Words("server")).chain(usual(summary).map(Figures)));
    for (server, title) in &summary.servers {
        let is_measured = |workload| summary.cell(server, workload).is_some_and(Cell::is_measured);
        if usual(summary).any(is_measured) {
            let cells = usual(summary).map(|workload| fill(server, workload));
            table.add_row(std::iter::once(title.clone()).chain(cells));
        }
    }
    (!table.is_empty()).then_some(table)
}

fn details(summary: &Summary) -> Option<Table> {
    let mut table = table([
        Words("workload"),
        Words("server"),
        Figures("per second"),
        Figures("p50"),
        Figures("p99"),
        Figures("p99.9"),
        Figures("server"),
        Figures("beside"),
        Figures("generator"),
    ]);
    for cell in summary.cells().iter().filter(|cell| cell.per_second.is_some()) {
        let title = summary
            .servers
            .iter()
            .find(|(name, _)| *name == cell.server)
            .map_or(cell.server.as_str(), |(_, title)| title);
        let time = |pick: fn(&Latency) -> u64| {
            or_dash(cell.latency.as_ref(), |latency| format!("{:.1?}", Duration::from_nanos(pick(latency))))
        };
        table.add_row([
            cell.workload.clone(),
            title.to_owned(),
            or_dash(cell.per_second, grouped),
            time(|latency| latency.p50),
            time(|latency| latency.p99),
            time(|latency| latency.p999),
            percent(cell.server_share),
            percent(cell.beside_share),
            percent(cell.generator_share),
        ]);
    }
    (!table.is_empty()).then_some(table)
}

fn percent(share: Option<f64>) -> String {
    or_dash(share, |share| format!("{:.0} %", share * 100.0))
}
