//! Everything that is configured: the gateway itself, and its sites.
//!
//! In: the files that were named, and the environment. Out: [`Settings`] when nothing is wrong, all mistakes when
//! something is, and which files to watch in either case.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use confique::{Config, Layer};

use super::file::{self, Kind, Section};
use super::layer::{self, Style};
use super::mistake::Mistake;
use super::site::{Reading, SiteConfig, Written as WrittenSite};
use super::tree::Place;
use super::value::{Listen, Number, Seconds, Text, Truth};

/// Settings of the original that have nothing to say here.
const NOT_NEEDED: [&str; 5] = ["redis", "flakeid", "winston", "servers", "newrelic"];

/// What the gateway was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where to listen.
    pub(crate) listen: Option<SocketAddr>,
    /// Where to keep things.
    pub(crate) data: Option<PathBuf>,
    /// Whether to keep things in memory only.
    pub(crate) in_memory: bool,
    /// Where `socket.io.js` lies, for those who load it from here.
    pub(crate) client_files: Option<PathBuf>,
    /// Socket.IO's pings: how often, and how long an answer may take.
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
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
}

/// What the original gave to Socket.IO, in milliseconds.
#[derive(Config)]
#[config(layer_attr(derive(Debug)))]
struct WrittenIo {
    #[config(default = 25000)]
    ping_interval: Number,
    #[config(default = 20000)]
    ping_timeout: Number,
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
        let passed_over: Vec<&str> = NOT_NEEDED.into_iter().chain(["sites", "io"]).collect();
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
                        .filter(|key| !key.starts_with("ping"))
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
        let io = WrittenIo::from_layer(io.with_fallback(Layer::default_values())).ok()?;
        let sites = self.sites(&environment, variable, written.device_ttl.0, mistakes);
        Some(Settings {
            listen: written.listen.or(written.port).map(|Listen(address)| address),
            data: written.data.map(|Text(path)| path.into()),
            in_memory: written.in_memory.0,
            client_files: written.client_files.map(|Text(path)| path.into()),
            ping_interval: Duration::from_millis(io.ping_interval.0.max(1)),
            ping_timeout: Duration::from_millis(io.ping_timeout.0.max(1)),
            sites,
        })
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
