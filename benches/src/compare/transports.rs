//! The table of the SockJS transports: a row for each, ours and the others side
//! by side.
//!
//! In: a [`Summary`]. Out: a table, if any transport was measured. Pure.

use comfy_table::Table;

use super::{
    plan::is_of_transport,
    sections::{lead, shown},
    server::OURS,
    summary::{Cell, Summary},
    table::{
        self,
        Column::{Figures, Words},
    },
};

/// What stands above the table.
pub(super) const HEADING: &str =
    "SockJS: messages per second of server CPU time; idle: resident bytes per session";

/// A row for each workload of a transport.
pub(super) fn table(summary: &Summary) -> Option<Table> {
    let workloads: Vec<&str> =
        summary.workloads.iter().map(String::as_str).filter(|name| is_of_transport(name)).collect();
    let is_measured = |server: &str| {
        workloads.iter().any(|workload| summary.cell(server, workload).is_some_and(Cell::is_measured))
    };
    let servers: Vec<_> = summary.servers.iter().filter(|(name, _)| is_measured(name)).collect();
    let others: Vec<_> = servers
        .iter()
        .filter(|(name, _)| name != OURS && servers.iter().any(|(name, _)| name == OURS))
        .collect();
    let titles = servers.iter().map(|(_, title)| title.clone());
    let times = others.iter().map(|(_, title)| format!("better than {title}"));
    let figures = titles.chain(times).map(Figures);
    let mut table = table::table(std::iter::once(Words("workload".to_owned())).chain(figures));
    for workload in &workloads {
        let figures = servers.iter().map(|(server, _)| shown(summary.cell(server, workload), workload));
        let leads = others.iter().map(|(server, _)| format!("{} ×", lead(summary, server, workload)));
        table.add_row(std::iter::once((*workload).to_owned()).chain(figures).chain(leads));
    }
    (!table.is_empty()).then_some(table)
}
