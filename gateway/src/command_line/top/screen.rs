//! What is seen, on a terminal.
//!
//! In: a watch, and a frame to draw on. Out: the frame, however small it is.

use std::time::Duration;

use humantime::format_duration;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row as Cells, Sparkline, Table, TableState};

use super::watch::{Column, Row, Watch};
use crate::command_line::site_status::Slow;

/// How many of the slowest are shown.
const SLOWEST: usize = 5;
/// How high the plot is.
const PLOT: u16 = 4;

/// Draws all of it. What is scrolled too far is put right.
pub(super) fn draw(frame: &mut Frame<'_>, watch: &mut Watch) {
    let slowest = u16::try_from(watch.latest().slowest().len().min(SLOWEST)).unwrap_or_default();
    let slow = if slowest == 0 { 0 } else { slowest + 1 };
    let [title, totals, plot, sites, slow, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(PLOT),
        Constraint::Min(3),
        Constraint::Length(slow),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title_line(watch), title);
    frame.render_widget(totals_line(watch), totals);
    draw_plot(frame, watch, plot);
    draw_sites(frame, watch, sites);
    draw_slowest(frame, watch, slow);
    frame.render_widget(foot_line(watch), foot);
}

fn title_line(watch: &Watch) -> Line<'static> {
    let status = watch.latest();
    let uptime = Duration::try_from_secs_f64(status.uptime_seconds).unwrap_or_default();
    let uptime = format_duration(Duration::from_secs(uptime.as_secs()));
    let mut spans =
        vec!["tokensocket".bold(), Span::raw(format!(" {}  {}  up {uptime}", status.version, watch.url()))];
    if let Some(nodes) = status.nodes() {
        let text = format!("  {nodes} node{}", if nodes.asked == 1 { "" } else { "s" });
        spans.push(if nodes.answered < nodes.asked { text.red().bold() } else { Span::raw(text) });
    }
    if let Some(broker) = &status.broker {
        spans.push(match broker.complaint() {
            Some(complaint) => format!("  {complaint}").red().bold(),
            None => {
                Span::raw(format!("  {} {}", broker.engine, broker.version.as_deref().unwrap_or_default()))
            }
        });
    }
    Line::from(spans)
}

/// What all sites do together: what is counted, in words.
fn totals_line(watch: &Watch) -> Line<'static> {
    let (total, rates) = watch.total();
    let all = Row { site: &total, rates };
    let mut spans = vec![Span::raw(format!("{} sites", watch.latest().sites.len()))];
    if let Some(users) = total.users {
        spans.push(Span::raw(format!(", {users} users")));
    }
    for column in watch.columns().into_iter().filter(|column| *column != Column::Site) {
        let text = format!("{} {}", cell(column, &all), name(column));
        let is_bad = column == Column::Slow && total.slow.is_some_and(|slow| slow > 0);
        spans.extend([Span::raw(", "), if is_bad { text.red().bold() } else { Span::raw(text) }]);
    }
    Line::from(spans)
}

/// Messages in a second, as far back as there is room.
fn draw_plot(frame: &mut Frame<'_>, watch: &Watch, area: Rect) {
    let width = usize::from(area.width);
    let busy: Vec<u64> = watch.busy().skip(watch.busy().len().saturating_sub(width)).collect();
    frame.render_widget(Sparkline::default().data(busy).style(Style::new().fg(Color::Cyan)), area);
}

fn draw_sites(frame: &mut Frame<'_>, watch: &mut Watch, area: Rect) {
    let rows = watch.rows();
    let shown = usize::from(area.height.saturating_sub(1));
    let scrolled = watch.scrolled.min(rows.len().saturating_sub(shown));
    let columns = watch.columns();
    let head = columns.iter().map(|&column| {
        let name = Span::raw(name(column));
        let name = if column == watch.column() { name.underlined() } else { name };
        aligned(column, name)
    });
    let lines = rows.iter().map(|row| {
        let line = Cells::new(columns.iter().map(|&column| aligned(column, cell(column, row))));
        if row.site.slow.is_some_and(|slow| slow > 0) { line.fg(Color::Red) } else { line }
    });
    let widths = columns.iter().map(|column| match column {
        Column::Site => Constraint::Min(12),
        _ => Constraint::Length(11),
    });
    let table = Table::new(lines, widths).header(Cells::new(head).style(Modifier::BOLD));
    let mut state = TableState::new().with_offset(scrolled);
    frame.render_stateful_widget(table, area, &mut state);
    watch.scrolled = scrolled;
}

fn draw_slowest(frame: &mut Frame<'_>, watch: &Watch, area: Rect) {
    let slowest = watch.latest().slowest();
    let lines = slowest.iter().take(SLOWEST).map(|(site, slow)| {
        let Slow { socket, user, waiting_messages, waiting_bytes } = slow;
        let user = user.as_deref().unwrap_or("-");
        Line::raw(format!(
            "{site}  {user}  {socket}: {waiting_messages} messages wait, {waiting_bytes} bytes"
        ))
    });
    let all: Vec<_> = [Line::from("slow consumers".bold())].into_iter().chain(lines).collect();
    frame.render_widget(Paragraph::new(all), area);
}

fn foot_line(watch: &Watch) -> Line<'static> {
    match watch.lost() {
        Some(why) => Line::from(format!("this is old: {why}")).red(),
        None => Line::from("q ends, s sorts by the next column, r reverses, arrows scroll").dim(),
    }
}

fn aligned<'a>(column: Column, text: impl Into<Span<'a>>) -> Line<'a> {
    let line = Line::from(text.into());
    if column == Column::Site { line } else { line.right_aligned() }
}

/// What a column is called.
pub(super) fn name(column: Column) -> &'static str {
    match column {
        Column::Site => "site",
        Column::Connections => "connections",
        Column::Opened => "connects/s",
        Column::Received => "in/s",
        Column::Sent => "out/s",
        Column::Accepted => "accepted/s",
        Column::Acknowledged => "acked/s",
        Column::Queued => "queued",
        Column::Slow => "slow",
    }
}

/// What stands there.
pub(super) fn cell(column: Column, Row { site, rates }: &Row<'_>) -> String {
    match column {
        Column::Site => site.name.clone(),
        Column::Connections => site.connections.to_string(),
        Column::Opened => rate(rates.opened),
        Column::Received => rate(rates.received),
        Column::Sent => rate(rates.sent),
        Column::Accepted => rate(rates.accepted),
        Column::Acknowledged => rate(rates.acknowledged),
        Column::Queued => count(site.queued),
        Column::Slow => count(site.slow),
    }
}

/// A number that may not be known.
fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// A rate that may not be known.
fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::command_line::gateway::GatewayError;
    use crate::command_line::site_status::{Broker, Nodes, Site, Status};
    use crate::command_line::top::watch::Outcome;

    fn site(name: &str, connections: u64, sent: u64) -> Site {
        Site {
            name: name.to_owned(),
            connections,
            queued: Some(connections / 2),
            slow: Some(0),
            received: Some(0),
            sent: Some(sent),
            ..Site::default()
        }
    }

    fn status(at: u64, sites: Vec<Site>) -> Status {
        Status { version: "1.2.3".to_owned(), at, uptime_seconds: 3_700.4, sites, ..Status::default() }
    }

    /// What is on the screen, line by line, without what is empty at the ends.
    fn screen(watch: &mut Watch, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, watch)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let lines = buffer.content.chunks(usize::from(width));
        lines
            .map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>())
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    fn press(watch: &mut Watch, key: char) -> Outcome {
        watch.press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE))
    }

    /// The names of the sites, from above.
    fn order(watch: &mut Watch) -> Vec<String> {
        let lines = screen(watch, 100, 20);
        let first = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
        lines[7..19].iter().map(first).filter(|name| !name.is_empty()).collect()
    }

    #[test]
    fn shows_sites_with_their_rates() {
        let mut watch = Watch::new("http://h", status(1_000, vec![site("a", 4, 0), site("b", 9, 0)]));
        assert!(screen(&mut watch, 100, 20)[1].contains("- in/s, - out/s"));
        watch.see(status(3_000, vec![site("a", 4, 100), site("b", 9, 10)]));
        let lines = screen(&mut watch, 100, 20);
        assert_eq!(lines[0], "tokensocket 1.2.3  http://h  up 1h 1m 40s");
        let total = "2 sites, 13 connections, 0.0 in/s, 55 out/s, 6 queued, 0 slow";
        assert_eq!(lines[1], total, "{lines:#?}");
        let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(columns(&lines[6]), ["site", "connections", "in/s", "out/s", "queued", "slow"]);
        assert_eq!(columns(&lines[7]), ["b", "9", "0.0", "5.0", "4", "0"]);
        assert_eq!(columns(&lines[8]), ["a", "4", "0.0", "50", "2", "0"]);
        assert!(lines[2..6].iter().any(|line| line.contains('█')), "the plot: {lines:#?}");
    }

    #[test]
    fn sorts_by_what_one_asks_for() {
        let mut watch = Watch::new("http://h", status(1_000, vec![site("a", 4, 0), site("b", 9, 0)]));
        watch.see(status(3_000, vec![site("b", 9, 10), site("a", 4, 100)]));
        assert_eq!(order(&mut watch), ["b", "a"]);
        press(&mut watch, 's');
        press(&mut watch, 's');
        assert_eq!(watch.column(), Column::Sent);
        assert_eq!(order(&mut watch), ["a", "b"]);
        press(&mut watch, 'r');
        assert_eq!(order(&mut watch), ["b", "a"]);
    }

    #[test]
    fn scrolls_no_further_than_there_are_sites() {
        let sites: Vec<_> = (10..60).map(|number| site(&format!("s{number}"), 100 - number, 0)).collect();
        let mut watch = Watch::new("http://h", status(1_000, sites));
        assert_eq!(order(&mut watch)[0], "s10");
        for _ in 0..3 {
            press(&mut watch, 'j');
        }
        assert_eq!(order(&mut watch)[0], "s13");
        watch.press(KeyEvent::new(KeyCode::End, KeyModifiers::NONE));
        assert_eq!(order(&mut watch).last().unwrap(), "s59");
        press(&mut watch, 'k');
        assert_eq!(order(&mut watch).last().unwrap(), "s58");
    }

    #[test]
    fn names_the_slowest_first() {
        let slow = |socket: &str, waiting_bytes| Slow {
            socket: socket.to_owned(),
            waiting_bytes,
            ..Slow::default()
        };
        let mut a = site("a", 4, 0);
        (a.slow, a.slowest) = (Some(1), vec![slow("one", 10)]);
        let mut b = site("b", 4, 0);
        (b.slow, b.slowest) = (Some(1), vec![slow("two", 20)]);
        let mut watch = Watch::new("http://h", status(1_000, vec![a, b]));
        let lines = screen(&mut watch, 100, 20);
        assert!(lines[16].starts_with("slow consumers"), "{lines:#?}");
        assert!(lines[17].starts_with("b  -  two: 0 messages wait, 20 bytes"), "{lines:#?}");
        assert!(lines[18].starts_with("a  -  one"), "{lines:#?}");
    }

    #[test]
    fn says_that_what_it_shows_is_old() {
        let mut watch = Watch::new("http://h", status(1_000, vec![site("a", 4, 0)]));
        watch.lose(&GatewayError::Timeout { url: "http://h".to_owned(), timeout: Duration::from_secs(5) });
        let lines = screen(&mut watch, 100, 20);
        assert!(lines[19].starts_with("this is old: no answer from http://h within 5s"), "{lines:#?}");
        assert!(lines[7].starts_with('a'), "{lines:#?}");
        watch.see(status(2_000, vec![site("a", 4, 0)]));
        assert!(screen(&mut watch, 100, 20)[19].starts_with("q ends"));
    }

    #[test]
    fn says_who_did_not_answer_and_that_the_engine_is_away() {
        let mut here = site("a", 4, 0);
        here.nodes = Some(Nodes { answered: 2, asked: 3 });
        let broker = Broker {
            engine: "redis".to_owned(),
            address: "h:6379".to_owned(),
            away_seconds: Some(3.2),
            ..Broker::default()
        };
        let status = Status { broker: Some(broker), ..status(1_000, vec![here]) };
        let title = &screen(&mut Watch::new("http://h", status), 120, 20)[0];
        let rest = "2 of 3 nodes  redis at h:6379 has not been reached for 3s";
        assert!(title.ends_with(rest), "{title}");
    }

    #[test]
    fn any_size_will_do() {
        let mut watch = Watch::new("http://h", status(1_000, vec![site("a", 4, 0), site("b", 9, 0)]));
        for (width, height) in [(1, 1), (5, 3), (20, 8), (300, 100)] {
            screen(&mut watch, width, height);
        }
    }

    #[test]
    fn q_escape_and_control_c_end_it() {
        let mut watch = Watch::new("http://h", status(1_000, vec![]));
        assert_eq!(press(&mut watch, 'q'), Outcome::End);
        assert_eq!(press(&mut watch, 'c'), Outcome::Continue);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(watch.press(control_c), Outcome::End);
        assert_eq!(watch.press(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)), Outcome::End);
        screen(&mut watch, 80, 24);
    }
}
