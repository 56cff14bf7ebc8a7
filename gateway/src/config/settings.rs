//! Everything that is configured: the gateway itself, and its sites.
//!
//! In: the files that were named, and the environment. Out: [`Settings`] when nothing is wrong, all mistakes when
//! something is, and which files to watch in either case.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use confique::{Config, Layer};
use tokensocket_server::Drain;

use super::broker::{self, BrokerConfig, BrokerUrl};
use super::file::{self, Kind, Section};
use super::layer::{self, Style};
use super::mistake::{Mistake, same};
use super::site::{Reading, SiteConfig, Written as WrittenSite};
use super::tree::{Content, Place};
use super::value::{Listen, Number, Seconds, Text, Truth};

/// Settings of the original that have nothing to say here.
const NOT_NEEDED: [&str; 4] = ["flakeid", "winston", "servers", "newrelic"];
/// Sections that are read by themselves.
const SECTIONS: [&str; 4] = ["sites", "io", "broker", "redis"];
/// The original's variable for what is `broker` here.
const REDIS_URL: &str = "REDIS_URL";

/// What the gateway was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where to listen.
    pub(crate) listen: Option<SocketAddr>,
    /// Where to keep things.
    pub(crate) data: Option<PathBuf>,
    /// Whether to keep things in memory only.
    pub(crate) in_memory: bool,
    /// The engine that other gateways share, in place of both.
    pub(crate) broker: Option<BrokerConfig>,
    /// Where `socket.io.js` lies, for those who load it from here.
    pub(crate) client_files: Option<PathBuf>,
    /// Socket.IO's pings: how often, and how long an answer may take.
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    /// How many connections of Socket.IO there may be.
    pub(crate) max_connections: usize,
    /// How clients are sent elsewhere at the end.
    pub(crate) drain: Drain,
    /// The sites, at least one, by name.
    pub(crate) sites: Vec<SiteConfig>,
}

/// What reading came to.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// `None`: there are severe mistakes.
    pub(crate) settings: Option<Settings>,
    /// All mistakes, and what is only of no effect, in the order in which they stand in the files.
    pub(crate) mistakes: Vec<Mistake>,
    /// What was read: whatever changes there changes this.
    pub(crate) files: Vec<PathBuf>,
}

/// The gateway's own settings as they are written.
#[derive(Config)]
#[config(layer_attr(derive(Debug)))]
struct Written {
    listen: Option<Listen>,
    #[config(env = "PORT")]
    port: Option<Listen>,
    #[config(env = "DEVICE_TTL", default = 3600)]
    device_ttl: Seconds,
    data: Option<Text>,
    #[config(default = false)]
    in_memory: Truth,
    client_files: Option<Text>,
    drain: Option<Seconds>,
    drain_rate: Option<Number>,
}

impl Written {
    /// How clients are sent elsewhere at the end.
    fn drain(&self) -> Drain {
        let rate = self.drain_rate.map(|rate| u32::try_from(rate.0).unwrap_or(u32::MAX));
        match (rate, self.drain.filter(|window| !window.0.is_zero())) {
            (Some(rate), Some(window)) => Drain::at_rate(rate).at_most(window.0),
            (Some(rate), None) => Drain::at_rate(rate),
            (None, Some(window)) => Drain::over(window.0),
            (None, None) => Drain::at_once(),
        }
    }
}

/// What the original gave to Socket.IO, times in milliseconds.
#[derive(Config)]
#[config(layer_attr(derive(Debug)))]
struct WrittenIo {
    #[config(default = 25000)]
    ping_interval: Number,
    #[config(default = 20000)]
    ping_timeout: Number,
    #[config(default = 65536)]
    max_connections: Number,
}

/// The sections of all files, one behind the other.
struct Found {
    settings: Vec<Section>,
    sites: Vec<Section>,
}

/// Whether the environment configures a site, as the original's does.
pub(crate) fn is_in_environment(variable: impl Fn(&str) -> Option<String>) -> bool {
    variable("SITE_NAME").is_some_and(|name| !name.is_empty())
}

/// Reads a text as if it were a file of this name, and no variables.
pub(crate) fn load_text(name: &str, text: &str) -> Loaded {
    let mut mistakes = Vec::new();
    let sections = file::sections_of(name, text, "production", &mut mistakes);
    Found::new(sections).finish(&|_| None, Vec::new(), mistakes)
}

/// Reads everything. `variable` looks up a variable of the environment. Blocks while files are read.
pub(crate) fn load(paths: &[PathBuf], variable: impl Fn(&str) -> Option<String>) -> Loaded {
    let mut mistakes = Vec::new();
    let environment = variable("NODE_ENV").filter(|name| !name.is_empty());
    let environment = environment.as_deref().unwrap_or("production");
    let paths = file::paths(paths, &mut mistakes);
    let sections = paths.iter().flat_map(|path| file::sections(path, environment, &mut mistakes)).collect();
    Found::new(sections).finish(&variable, paths, mistakes)
}

impl Found {
    fn new(sections: Vec<Section>) -> Self {
        let (settings, sites) = sections.into_iter().partition(|section| section.kind == Kind::Settings);
        Self { settings, sites }
    }

    fn finish(
        &self,
        variable: &impl Fn(&str) -> Option<String>,
        files: Vec<PathBuf>,
        mut mistakes: Vec<Mistake>,
    ) -> Loaded {
        let settings = self.read(variable, &mut mistakes);
        let settings = settings.filter(|_| !mistakes.iter().any(|mistake| mistake.severe));
        let file =
            |mistake: &Mistake| files.iter().position(|file| file.display().to_string() == mistake.file);
        mistakes.sort_by_cached_key(|mistake| (file(mistake), mistake.line, mistake.column));
        Loaded { settings, mistakes, files }
    }

    fn read(
        &self,
        variable: &impl Fn(&str) -> Option<String>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Settings> {
        let environment: Arc<str> = "the environment".into();
        let passed_over: Vec<&str> = NOT_NEEDED.into_iter().chain(SECTIONS).collect();
        let mut whole = layer::variables::<Written>(&environment, variable, mistakes);
        let mut io = <WrittenIo as Config>::Layer::empty();
        for section in &self.settings {
            whole = whole.with_fallback(layer::layer::<Written>(
                &section.node,
                Style::Snake,
                &passed_over,
                mistakes,
            ));
            for entry in section.node.entries().unwrap_or_default() {
                if entry.key == "io" {
                    let passed_over: Vec<&str> = entry
                        .value
                        .entries()
                        .unwrap_or_default()
                        .iter()
                        .map(|io| &*io.key)
                        .filter(|key| !key.starts_with("ping") && !key.starts_with("max"))
                        .collect();
                    io = io.with_fallback(layer::layer::<WrittenIo>(
                        &entry.value,
                        Style::Camel,
                        &passed_over,
                        mistakes,
                    ));
                }
                if NOT_NEEDED.contains(&&*entry.key) {
                    let what = format!("`{}` has no effect: nothing of that kind is needed here", entry.key);
                    mistakes.push(Mistake::note(&entry.place, what));
                }
            }
        }
        let written = Written::from_layer(whole.with_fallback(Layer::default_values())).ok()?;
        let drain = written.drain();
        let io = WrittenIo::from_layer(io.with_fallback(Layer::default_values())).ok()?;
        let broker = self.broker(&environment, variable, mistakes);
        let sites = self.sites(&environment, variable, written.device_ttl.0, mistakes);
        Some(Settings {
            listen: written.listen.or(written.port).map(|Listen(address)| address),
            data: written.data.map(|Text(path)| path.into()),
            in_memory: written.in_memory.0,
            broker,
            client_files: written.client_files.map(|Text(path)| path.into()),
            ping_interval: Duration::from_millis(io.ping_interval.0.max(1)),
            ping_timeout: Duration::from_millis(io.ping_timeout.0.max(1)),
            drain,
            max_connections: usize::try_from(io.max_connections.0.max(1)).unwrap_or(usize::MAX),
            sites,
        })
    }

    /// The engine: `broker` first, else what the original's files and variables call Redis.
    fn broker(
        &self,
        environment: &Arc<str>,
        variable: &impl Fn(&str) -> Option<String>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<BrokerConfig> {
        let sections = || self.settings.iter().flat_map(|section| section.node.entries().unwrap_or_default());
        let mut whole = layer::variables::<broker::Written>(environment, variable, mistakes);
        let mut place = None;
        for entry in sections().filter(|entry| same(&entry.key) == "broker") {
            place.get_or_insert(&entry.value);
            let section = match &entry.value.content {
                Content::Scalar(_) => &entry.value.within("url"),
                _ => &entry.value,
            };
            whole =
                whole.with_fallback(layer::layer::<broker::Written>(section, Style::Camel, &[], mistakes));
        }
        let written = broker::Written::from_layer(whole.with_fallback(Layer::default_values())).ok()?;
        for (setting, what, instead) in written.mistakes() {
            let setting = layer::styled(setting, Style::Camel);
            let at = place.and_then(|section| section.entry(&setting)).map(|entry| &entry.value.place);
            let nowhere = Place::of(environment);
            mistakes.push(Mistake::new(at.unwrap_or(&nowhere), what).suggest(instead));
        }
        if let Some(url) = &written.url {
            for (setting, of) in written.idle(url) {
                let setting = layer::styled(setting, Style::Camel);
                let at = place.and_then(|section| section.entry(&setting)).map(|entry| &entry.value.place);
                let Some(at) = at else { continue };
                let what = format!("`{setting}` has no effect: it is a setting of {of}");
                mistakes.push(Mistake::note(at, what).suggest("leave it out"));
            }
            return written.at(None);
        }
        if let Some(section) = place.filter(|section| !matches!(section.content, Content::Nothing)) {
            if !mistakes.iter().any(|mistake| mistake.severe) {
                let what = "`broker` does not say where it is";
                let instead = "add `url: redis://host:6379` or `url: nats://host:4222`";
                mistakes.push(Mistake::new(&section.place, what).suggest(instead));
            }
            return None;
        }
        if let Some(text) = variable(REDIS_URL).filter(|text| !text.is_empty()) {
            let place = Place::of(environment);
            return match BrokerUrl::parse(text.trim()) {
                Ok(url) => written.at(Some(url)),
                Err(words) => {
                    let (what, instead) = words.split_once('\n').unwrap_or((&words, ""));
                    mistakes.push(Mistake::new(&place, format!("{REDIS_URL}: {what}")).suggest(instead));
                    None
                }
            };
        }
        let redis = sections().find(|entry| entry.key == "redis")?;
        let url = redis.value.entry("url").and_then(|url| url.value.value().as_str().map(str::to_owned));
        match url.map(|url| BrokerUrl::parse(url.trim())) {
            Some(Ok(url)) => written.at(Some(url)),
            Some(Err(words)) => {
                let what = words.lines().next().unwrap_or_default();
                let what = format!("`redis` has no effect: {what}");
                let instead =
                    "several gateways share an engine by `broker: redis://host:6379`; one needs none";
                mistakes.push(Mistake::note(&redis.place, what).suggest(instead));
                None
            }
            None => None,
        }
    }

    fn sites(
        &self,
        environment: &Arc<str>,
        variable: &impl Fn(&str) -> Option<String>,
        device_ttl: Duration,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<SiteConfig> {
        let mut sites: Vec<SiteConfig> = Vec::new();
        let mut seen: Vec<(&str, &Place)> = Vec::new();
        let own = variable("SITE_NAME").filter(|name| !name.is_empty());
        for entry in self.sites.iter().flat_map(|section| section.node.entries().unwrap_or_default()) {
            if let Some((_, first)) = seen.iter().find(|(name, _)| *name == entry.key) {
                let what = format!(
                    "the site `{}` is there twice; first in {}, line {}",
                    entry.key, first.file, first.line
                );
                mistakes.push(
                    Mistake::new(&entry.place, what)
                        .suggest("keep one of the two, or give this one another name"),
                );
                continue;
            }
            seen.push((&entry.key, &entry.place));
            let more = (own.as_deref() == Some(&*entry.key))
                .then(|| layer::variables::<WrittenSite>(environment, variable, mistakes));
            let reading = Reading { name: &entry.key, place: &entry.place, section: Some(&entry.value) };
            sites.extend(reading.read(more, device_ttl, mistakes));
        }
        let place = Place::of(environment);
        if let Some(name) = &own
            && !seen.iter().any(|(seen, _)| seen == name)
        {
            let more = layer::variables::<WrittenSite>(environment, variable, mistakes);
            let reading = Reading { name, place: &place, section: None };
            sites.extend(reading.read(Some(more), device_ttl, mistakes));
        } else if seen.is_empty() && !mistakes.iter().any(|mistake| mistake.severe) {
            // Where something could not be read, the sites may be there.
            let (place, instead) = match self.settings.first() {
                Some(section) => (
                    &section.node.place,
                    "add `sites:` and below it one section for each, or a sites.yml beside this file",
                ),
                None => (&place, "set SITE_NAME, AUTH_URL and API_KEY, or name a file by --config"),
            };
            mistakes.push(Mistake::new(place, "there is no site").suggest(instead));
        }
        if own.is_none()
            && let Some(name) = ["AUTH_URL", "API_KEY"].into_iter().find(|name| variable(name).is_some())
        {
            let what = format!("{name} is set, but SITE_NAME is not: it has no effect");
            mistakes.push(Mistake::note(&place, what).suggest("set SITE_NAME to the site's name"));
        }
        sites.sort_by(|one, other| one.name.cmp(&other.name));
        sites
    }
}
