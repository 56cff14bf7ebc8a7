//! A record as tables, for a terminal or for Markdown.

use std::{fmt::Write, time::Duration};

use comfy_table::{CellAlignment, Table, presets};

use super::{
    cores::Cores,
    plan::is_of_transport,
    record::Record,
    scale::Scale,
    server::{OURS, TWO_CORES},
    summary::{Cell, Summary},
    targets, transports,
};

/// All tables of `record`, ready to print.
pub(super) fn render(record: &Record, markdown: bool, with_targets: bool) -> String {
    let summary = Summary::of(record);
    let mut out = machine(record);
    let mut section = |title: &str, table: Option<Table>| {
        if let Some(mut table) = table {
            table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::UTF8_FULL_CONDENSED });
            let mark = if markdown { "### " } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "\n{mark}{title}\n\n{table}");
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
    let mut table = Table::new();
    table.set_header(["workload", "what", "wanted", "measured", "met"]);
    for verdict in targets::judge(summary) {
        let measured = verdict.measured.map_or_else(|| "–".to_owned(), |figure| verdict.unit.show(figure));
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
    summary.lead_over(server, workload).map_or_else(|| "–".to_owned(), |lead| format!("{lead:.2}"))
}

/// A row for each server, a column for each usual workload; none without any.
fn grid(summary: &Summary, fill: impl Fn(&str, &str) -> String) -> Option<Table> {
    let mut table = Table::new();
    table.set_header(std::iter::once("server").chain(usual(summary)));
    for (server, title) in &summary.servers {
        let is_measured = |workload| summary.cell(server, workload).is_some_and(Cell::is_measured);
        if usual(summary).any(is_measured) {
            let cells = usual(summary).map(|workload| fill(server, workload));
            table.add_row(std::iter::once(title.clone()).chain(cells));
        }
    }
    align_numbers(&mut table, 1);
    (!table.is_empty()).then_some(table)
}

fn details(summary: &Summary) -> Option<Table> {
    let mut table = Table::new();
    table.set_header([
        "workload",
        "server",
        "per second",
        "p50",
        "p99",
        "p99.9",
        "server",
        "beside",
        "generator",
    ]);
    for cell in summary.cells().iter().filter(|cell| cell.per_second.is_some()) {
        let title = summary
            .servers
            .iter()
            .find(|(name, _)| *name == cell.server)
            .map_or(cell.server.as_str(), |(_, title)| title);
        let time = |pick: fn(&crate::report::Latency) -> u64| {
            cell.latency.as_ref().map_or_else(
                || "–".to_owned(),
                |latency| format!("{:.1?}", Duration::from_nanos(pick(latency))),
            )
        };
        table.add_row([
            cell.workload.clone(),
            title.to_owned(),
            cell.per_second.map_or_else(|| "–".to_owned(), grouped),
            time(|latency| latency.p50),
            time(|latency| latency.p99),
            time(|latency| latency.p999),
            percent(cell.server_share),
            percent(cell.beside_share),
            percent(cell.generator_share),
        ]);
    }
    align_numbers(&mut table, 2);
    (!table.is_empty()).then_some(table)
}

pub(super) fn align_numbers(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

/// A whole number with commas between thousands.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut out = String::new();
    if number <= -0.5 {
        out.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_thousands() {
        assert_eq!(grouped(0.4), "0");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(1_000.0), "1,000");
        assert_eq!(grouped(12_345_678.4), "12,345,678");
        assert_eq!(grouped(-1_234.0), "-1,234");
    }
}
