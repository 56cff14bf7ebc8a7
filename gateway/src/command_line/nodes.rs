//! `tokensocket nodes`: the gateways that share an engine.
//!
//! In: one of them. Out: a table for each site on standard output, or one JSON object for each.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde_json::json;

use super::gateway::Gateway;
use super::manual;
use super::site_status::{self, Broker, Node, Site, Status};

/// What stands above the columns.
const HEAD: [&str; 8] = ["", "node", "id", "version", "up", "load", "connections", "channels"];
/// From here on columns are numbers, which stand at the right.
const NUMBERS: usize = 4;
/// How much of an id tells two nodes apart.
const ID: usize = 8;

/// Prints the nodes of a gateway: those that share an engine with it
///
/// Prints for each site that the key opens, or whose keys the configuration has, how many nodes answered, of how many, and
/// a line for each: its machine's name, what tells it apart from others there, its version, for how long it has been
/// running, how busy its threads are, how many connections it has, how many channels these follow, and whether
/// it is draining, that is sending its clients elsewhere since it is about to end. The one that was asked has a `*`.
///
/// A node says how it does every few seconds; one that has said nothing for three of these times is not in the list
/// any more. What a node that did not answer in time has is missing in whatever is counted.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket nodes
  tokensocket nodes --json | jq '.node_list[] | select(.load > 0.6).name'"),
    manual::EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Nodes {
    /// Print each site as a JSON object with `site`, `nodes` and `node_list`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: Gateway,
}

impl Nodes {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let status = Status::all(self.gateway.open()?.get_all(site_status::PATH).await?);
        Ok(self.print(&status)?)
    }

    fn print(&self, status: &Status) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        for (at, site) in status.sites.iter().enumerate() {
            if self.json {
                let Site { name, nodes, node_list, .. } = site;
                writeln!(out, "{}", json!({ "site": name, "nodes": nodes, "node_list": node_list }))?;
                continue;
            }
            if at > 0 {
                writeln!(out)?;
            }
            writeln!(out, "{}", title(site))?;
            table(&mut out, site, status.at)?;
        }
        if let Some(complaint) = status.broker.as_ref().and_then(Broker::complaint) {
            anstream::eprintln!("{complaint}");
        }
        Ok(())
    }
}

/// How many of a site's nodes answered.
fn title(site: &Site) -> String {
    let Some(nodes) = site.nodes else { return format!("{}: its nodes are not known", site.name) };
    let some = if nodes.asked == 1 { "node" } else { "nodes" };
    let words = format!("{} of {} {some} answered", nodes.answered, nodes.asked);
    let style = if nodes.answered < nodes.asked { AnsiColor::Red.on_default().bold() } else { Style::new() };
    format!("{}: {style}{words}{style:#}", site.name)
}

/// A line for each node, below a head; each column as wide as it has to be.
fn table(out: &mut impl Write, site: &Site, now: u64) -> io::Result<()> {
    let mut nodes: Vec<&Node> = site.node_list.iter().collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name).then(a.since.cmp(&b.since)).then_with(|| a.id.cmp(&b.id)));
    if nodes.is_empty() {
        return Ok(());
    }
    let head = HEAD.map(str::to_owned);
    let rows: Vec<[String; 8]> = nodes.iter().map(|node| cells(node, now)).collect();
    let all = || std::iter::once(&head).chain(&rows);
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| all().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < NUMBERS { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        // The mark stands close to the name.
        let cells: Vec<String> = cells.collect();
        format!("{} {}", cells[0], cells[1..].join("  "))
    };
    let bold = Style::new().bold();
    writeln!(out, "{bold}{}{bold:#}", line(&head))?;
    for (node, row) in nodes.iter().zip(&rows) {
        let yellow = AnsiColor::Yellow.on_default();
        let state = if node.draining { format!("  {yellow}draining{yellow:#}") } else { String::new() };
        writeln!(out, "{}{state}", line(row))?;
    }
    Ok(())
}

fn cells(node: &Node, now: u64) -> [String; 8] {
    [
        if node.here { "*" } else { "" }.to_owned(),
        node.name.clone(),
        node.id.chars().take(ID).collect(),
        node.version.clone(),
        roughly(Duration::from_millis(now.saturating_sub(node.since))),
        format!("{:.0} %", node.load * 100.0),
        grouped(node.connections),
        grouped(node.channels),
    ]
}

/// A time in its two largest units.
fn roughly(time: Duration) -> String {
    let whole = humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first % 3 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    fn node(name: &str, id: &str, connections: u64) -> Node {
        Node {
            id: id.to_owned(),
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            connections,
            ..Node::default()
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let asked = Node { here: true, load: 0.126, since: 1_000, ..node("web-2", "0123456789", 4_211) };
        let leaving = Node { draining: true, load: 1.0, channels: 1_000_000, ..node("ä", "fedcba98", 7) };
        let site = Site { node_list: vec![asked, leaving], ..Site::default() };
        let mut out = Vec::new();
        table(&mut out, &site, 7_201_000).unwrap();
        let text = anstream::adapter::strip_bytes(&out).into_vec();
        let expected = "  node   id        version     up   load  connections   channels\n\
                        * web-2  01234567  1.2.3       2h   13 %        4,211          0\n\
                        \u{20} ä      fedcba98  1.2.3    2h 1s  100 %            7  1,000,000  draining\n";
        let lines = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines[1..].sort();
            lines
        };
        assert_eq!(lines(&String::from_utf8(text).unwrap()), lines(expected));
    }

    #[test]
    fn numbers_can_be_read() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(roughly(Duration::from_secs(93_784)), "1day 2h");
    }
}
