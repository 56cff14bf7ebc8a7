//! What a gateway says of its sites at one moment, and what two such moments say of the time between them.
//!
//! In: the JSON of `GET /api/v1/status`. Out: numbers, where the gateway knows them. It must not know how they are
//! shown.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the gateway says it.
pub(super) const PATH: &str = "/api/v1/status";

/// A gateway at one moment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(super) struct Status {
    /// The program's version.
    #[serde(default)]
    pub(super) version: String,
    /// Milliseconds since 1970.
    pub(super) at: u64,
    /// For how long it has run.
    #[serde(default)]
    pub(super) uptime_seconds: f64,
    /// What nodes share everything by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broker: Option<Broker>,
    /// The sites that the key opens.
    pub(super) sites: Vec<Site>,
}

/// How it stands with the engine that nodes share.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Broker {
    /// Which.
    pub(super) engine: String,
    /// Where.
    pub(super) address: String,
    /// Its version.
    pub(super) version: Option<String>,
    /// For how long it could not be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) away_seconds: Option<f64>,
}

/// How many nodes answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Nodes {
    /// In time.
    pub(super) answered: u64,
    /// Of so many.
    pub(super) asked: u64,
}

/// One of its sites. What a gateway does not count is not there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Site {
    /// Its name.
    #[serde(rename = "site")]
    pub(super) name: String,
    /// How many nodes all the rest is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nodes: Option<Nodes>,
    /// Who they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) node_list: Vec<Node>,
    /// How many are connected now.
    pub(super) connections: u64,
    /// How many users they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) users: Option<u64>,
    /// How many channels are followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channels: Option<u64>,
    /// How many devices are remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) devices: Option<u64>,
    /// How many deliveries wait for devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queued: Option<u64>,
    /// How many connections do not read as fast as they are sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) slow: Option<u64>,
    /// The slowest of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) slowest: Vec<Slow>,
    /// Since the gateway began: connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opened: Option<u64>,
    /// Since then: messages of clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) received: Option<u64>,
    /// Since then: messages to clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sent: Option<u64>,
    /// Since then: deliveries that were accepted, once for each device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted: Option<u64>,
    /// Since then: deliveries that were acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acknowledged: Option<u64>,
}

/// One of the nodes of a site.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Node {
    /// Its id for this site.
    pub(super) id: String,
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Since when, in milliseconds since 1970.
    pub(super) since: u64,
    /// How many are connected to it.
    pub(super) connections: u64,
    /// How many channels these follow.
    pub(super) channels: u64,
    /// How busy its threads are, from 0 to 1.
    pub(super) load: f64,
    /// Whether it is about to end.
    pub(super) draining: bool,
    /// Whether it is the one that says this.
    pub(super) here: bool,
}

/// A connection that does not read as fast as it is sent to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Slow {
    /// Its id.
    pub(super) socket: String,
    /// Whose it is.
    pub(super) user: Option<String>,
    /// What waits for it.
    pub(super) waiting_messages: u64,
    /// How large that is.
    pub(super) waiting_bytes: u64,
}

/// What happened at a site in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    /// Connections that were opened.
    pub(super) opened: Option<f64>,
    /// Messages of clients.
    pub(super) received: Option<f64>,
    /// Messages to clients.
    pub(super) sent: Option<f64>,
    /// Deliveries that were accepted.
    pub(super) accepted: Option<f64>,
    /// Deliveries that were acknowledged.
    pub(super) acknowledged: Option<f64>,
}

/// `3`, or `2 of 3` when one did not answer.
impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, asked } = self;
        if answered == asked { write!(f, "{asked}") } else { write!(f, "{answered} of {asked}") }
    }
}

impl Broker {
    /// Why there may be less than there should be, if so.
    pub(super) fn complaint(&self) -> Option<String> {
        let away = Duration::try_from_secs_f64(self.away_seconds?).unwrap_or_default();
        let away = humantime::format_duration(Duration::from_secs(away.as_secs()));
        Some(format!("{} at {} has not been reached for {away}", self.engine, self.address))
    }
}

impl Status {
    /// What was said of several sites, as one.
    pub(super) fn all(parts: Vec<Self>) -> Self {
        let join = |mut whole: Self, part: Self| {
            whole.at = whole.at.max(part.at);
            whole.broker = whole.broker.or(part.broker);
            whole.sites.extend(part.sites);
            whole
        };
        parts.into_iter().reduce(join).unwrap_or_default()
    }

    /// The site of this name.
    pub(super) fn site(&self, name: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.name == name)
    }

    /// What happened at a site, in each second since an earlier moment. Not known when the gateway or the site began
    /// anew in between.
    pub(super) fn rates(&self, site: &Site, earlier: Option<&Self>) -> Rates {
        let Some(earlier) = earlier.filter(|earlier| earlier.at < self.at) else { return Rates::default() };
        let Some(before) = earlier.site(&site.name) else { return Rates::default() };
        let seconds = seconds(self.at - earlier.at);
        let rate = |now: Option<u64>, before: Option<u64>| {
            let more = now?.checked_sub(before?)?;
            #[allow(clippy::cast_precision_loss, reason = "nobody counts that far in a second")]
            Some(more as f64 / seconds)
        };
        Rates {
            opened: rate(site.opened, before.opened),
            received: rate(site.received, before.received),
            sent: rate(site.sent, before.sent),
            accepted: rate(site.accepted, before.accepted),
            acknowledged: rate(site.acknowledged, before.acknowledged),
        }
    }

    /// How many nodes answered, where the fewest did.
    pub(super) fn nodes(&self) -> Option<Nodes> {
        let missing = |nodes: &Nodes| (nodes.asked.saturating_sub(nodes.answered), nodes.asked);
        self.sites.iter().filter_map(|site| site.nodes).max_by_key(missing)
    }

    /// All sites together, as one.
    pub(super) fn total(&self) -> Site {
        let sum = |of: fn(&Site) -> Option<u64>| self.sites.iter().filter_map(of).reduce(u64::saturating_add);
        Site {
            name: "all".to_owned(),
            nodes: self.nodes(),
            node_list: Vec::new(),
            connections: self.sites.iter().map(|site| site.connections).fold(0, u64::saturating_add),
            users: sum(|site| site.users),
            channels: sum(|site| site.channels),
            devices: sum(|site| site.devices),
            queued: sum(|site| site.queued),
            slow: sum(|site| site.slow),
            slowest: Vec::new(),
            opened: sum(|site| site.opened),
            received: sum(|site| site.received),
            sent: sum(|site| site.sent),
            accepted: sum(|site| site.accepted),
            acknowledged: sum(|site| site.acknowledged),
        }
    }

    /// This moment with all sites as one.
    pub(super) fn summed(&self) -> Self {
        Self { sites: vec![self.total()], ..self.clone() }
    }

    /// The slowest connections of all sites, those first for which most waits.
    pub(super) fn slowest(&self) -> Vec<(&str, &Slow)> {
        let all = self.sites.iter().flat_map(|site| site.slowest.iter().map(|slow| (&*site.name, slow)));
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(_, slow)| std::cmp::Reverse(slow.waiting_bytes));
        all
    }
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    fn status(at: u64, sent: u64) -> Status {
        let site = Site { name: "a".to_owned(), sent: Some(sent), ..Site::default() };
        Status { at, sites: vec![site], ..Status::default() }
    }

    #[test]
    fn a_rate_is_what_came_in_between() {
        let (before, now) = (status(1_000, 10), status(3_000, 30));
        let rates = now.rates(&now.sites[0], Some(&before));
        assert_eq!((rates.sent, rates.received), (Some(10.0), None));
        assert_eq!(now.rates(&now.sites[0], None), Rates::default());
    }

    #[test]
    fn a_gateway_that_began_anew_has_no_rate_yet() {
        let (before, now) = (status(1_000, 10), status(3_000, 0));
        assert_eq!(now.rates(&now.sites[0], Some(&before)).sent, None);
        assert_eq!(now.rates(&now.sites[0], Some(&now)).sent, None);
    }

    #[test]
    fn what_no_site_counts_has_no_sum() {
        let mut two = status(0, 1);
        two.sites.push(Site { name: "b".to_owned(), sent: Some(2), connections: 3, ..Site::default() });
        let total = two.total();
        assert_eq!((total.sent, total.connections, total.queued), (Some(3), 3, None));
    }

    #[test]
    fn says_how_many_nodes_answered() {
        let site = |answered, asked| Site { nodes: Some(Nodes { answered, asked }), ..Site::default() };
        let words = |sites| Status { sites, ..Status::default() }.nodes().map(|nodes| nodes.to_string());
        assert_eq!(words(vec![site(3, 3), site(2, 3)]).as_deref(), Some("2 of 3"));
        assert_eq!(words(vec![site(3, 3)]).as_deref(), Some("3"));
        assert_eq!(words(vec![Site::default()]), None);
    }

    #[test]
    fn reads_what_says_little_or_more_than_is_known_here() {
        let text = r#"{"at":1,"sites":[{"site":"a","connections":2,"colour":"red"}],"more":{}}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.sites[0].connections, 2);
        assert_eq!(status.sites[0].queued, None);
    }
}
