//! What has been seen of a gateway so far, and how it is looked at.
//!
//! In: what the gateway says each time, and keys. Out: the rows of a table, in the order that was asked for, and how
//! busy it was. It must not know how that is drawn.

use std::collections::VecDeque;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::command_line::gateway::GatewayError;
use crate::command_line::site_status::{Rates, Site, Status};

/// How many moments the plot remembers; a terminal is hardly wider.
const MOMENTS: usize = 512;

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Look on.
    Continue,
    /// It has been seen enough.
    End,
}

/// By what the sites are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Site,
    Connections,
    Opened,
    Received,
    Sent,
    Accepted,
    Acknowledged,
    Queued,
    Slow,
}

impl Column {
    /// All of them, as they stand side by side.
    const ALL: [Self; 9] = [
        Self::Site,
        Self::Connections,
        Self::Opened,
        Self::Received,
        Self::Sent,
        Self::Accepted,
        Self::Acknowledged,
        Self::Queued,
        Self::Slow,
    ];

    /// Whether a gateway that says this of its sites counts what stands here.
    fn is_counted(self, total: &Site) -> bool {
        match self {
            Self::Site | Self::Connections => true,
            Self::Opened => total.opened.is_some(),
            Self::Received => total.received.is_some(),
            Self::Sent => total.sent.is_some(),
            Self::Accepted => total.accepted.is_some(),
            Self::Acknowledged => total.acknowledged.is_some(),
            Self::Queued => total.queued.is_some(),
            Self::Slow => total.slow.is_some(),
        }
    }
}

/// One site, as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub(super) site: &'a Site,
    pub(super) rates: Rates,
}

/// A gateway that is being watched.
pub(super) struct Watch {
    url: String,
    latest: Status,
    earlier: Option<Status>,
    /// Why there is nothing newer.
    lost: Option<String>,
    /// Messages in a second, or else deliveries, of all sites and both ways, the newest last.
    busy: VecDeque<u64>,
    column: Column,
    reverse: bool,
    /// The first site that is shown.
    pub(super) scrolled: usize,
}

impl Watch {
    /// Begins with what the gateway said first.
    pub(super) fn new(url: &str, first: Status) -> Self {
        Self {
            url: url.to_owned(),
            latest: first,
            earlier: None,
            lost: None,
            busy: VecDeque::new(),
            column: Column::Connections,
            reverse: false,
            scrolled: 0,
        }
    }

    /// The gateway said this.
    pub(super) fn see(&mut self, status: Status) {
        self.earlier = Some(std::mem::replace(&mut self.latest, status));
        self.lost = None;
        let Rates { received, sent, accepted, acknowledged, .. } = self.total().1;
        let both = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or_default() + other.unwrap_or_default()),
        };
        if let Some(busy) = both(received, sent).or_else(|| both(accepted, acknowledged)) {
            if self.busy.len() == MOMENTS {
                self.busy.pop_front();
            }
            self.busy.push_back(whole(busy));
        }
    }

    /// The gateway said nothing.
    pub(super) fn lose(&mut self, why: &GatewayError) {
        self.lost = Some(why.to_string().lines().next().unwrap_or_default().to_owned());
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent) -> Outcome {
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Outcome::End,
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => return Outcome::End,
            KeyCode::Char('s') => {
                let columns = self.columns();
                let at = columns.iter().position(|column| *column == self.column).unwrap_or_default();
                self.column = columns[(at + 1) % columns.len()];
                self.scrolled = 0;
            }
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Down | KeyCode::Char('j') => self.scrolled = self.scrolled.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.scrolled = self.scrolled.saturating_sub(1),
            KeyCode::Home => self.scrolled = 0,
            KeyCode::End => self.scrolled = usize::MAX,
            _ => {}
        }
        Outcome::Continue
    }

    /// Where the gateway is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What it said last.
    pub(super) fn latest(&self) -> &Status {
        &self.latest
    }

    /// Why there is nothing newer, if there should be.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// What the gateway counts, as it stands side by side. At least one.
    pub(super) fn columns(&self) -> Vec<Column> {
        let total = self.latest.total();
        Column::ALL.into_iter().filter(|column| column.is_counted(&total)).collect()
    }

    /// By what the sites are sorted.
    pub(super) fn column(&self) -> Column {
        self.column
    }

    /// How busy it was, the newest last.
    pub(super) fn busy(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator {
        self.busy.iter().copied()
    }

    /// All sites together.
    pub(super) fn total(&self) -> (Site, Rates) {
        let (now, earlier) = (self.latest.summed(), self.earlier.as_ref().map(Status::summed));
        let rates = now.rates(&now.sites[0], earlier.as_ref());
        (now.total(), rates)
    }

    /// The sites: names from a to z, numbers from the largest, or the other way round.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let row = |site| Row { site, rates: self.latest.rates(site, self.earlier.as_ref()) };
        let mut rows: Vec<_> = self.latest.sites.iter().map(row).collect();
        rows.sort_by(|a, b| {
            let number = |row: &Row<'_>| key(self.column, row);
            let by_name = a.site.name.cmp(&b.site.name);
            number(b).total_cmp(&number(a)).then(by_name)
        });
        if self.reverse {
            rows.reverse();
        }
        rows
    }
}

/// What a column sorts by; what is not known comes last.
fn key(column: Column, Row { site, rates }: &Row<'_>) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "two numbers that large are alike")]
    let count = |number: Option<u64>| number.map_or(-1.0, |number| number as f64);
    let rate = |rate: Option<f64>| rate.unwrap_or(-1.0);
    match column {
        Column::Site => 0.0,
        Column::Connections => count(Some(site.connections)),
        Column::Opened => rate(rates.opened),
        Column::Received => rate(rates.received),
        Column::Sent => rate(rates.sent),
        Column::Accepted => rate(rates.accepted),
        Column::Acknowledged => rate(rates.acknowledged),
        Column::Queued => count(site.queued),
        Column::Slow => count(site.slow),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, rounded")]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}
