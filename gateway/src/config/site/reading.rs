//! Reading one site: what is written, and what is wrong with it.
//!
//! In: a section of a file, variables. Out: a [`SiteConfig`], and mistakes at their lines. A site with mistakes is none.

use std::time::Duration;

use confique::{Config, Layer};

use super::{AuthUrl, Secret, SiteConfig, Written, jwt, origin};
use crate::config::layer::{self, Style};
use crate::config::mistake::{Mistake, same};
use crate::config::tree::{Entry, Node, Place};
use crate::config::value::{EventMode, Text, Texts};

/// The first parts of paths that belong to nobody's site.
const RESERVED: [&str; 10] = [
    "api",
    "console",
    "events",
    "healthcheck",
    "readiness",
    "send",
    "socket",
    "socket.io",
    "sockets",
    "user",
];
/// The longest name of a site.
const MAX_NAME: usize = 64;
/// The most requests to one site's auth URL at a time that may be configured.
const MAX_CONCURRENCY: usize = 10_000;
/// The most retries that may be configured.
const MAX_RETRIES: u32 = 10;
/// How long an auth URL's answer may take.
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(5);
/// What it means that a device's time is 0: as long as a queue keeps anything.
const FOR_EVER: Duration = Duration::from_hours(7 * 24);

/// A site while it is read: what was written, and where.
pub(in crate::config) struct Reading<'a> {
    pub(in crate::config) name: &'a str,
    /// Where the site begins.
    pub(in crate::config) place: &'a Place,
    pub(in crate::config) section: Option<&'a Node>,
}

impl Reading<'_> {
    /// Reads a site. `more` is a layer above the section, from the environment. `None`: it cannot be served.
    pub(in crate::config) fn read(
        &self,
        more: Option<<Written as Config>::Layer>,
        device_ttl: Duration,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<SiteConfig> {
        let before = mistakes.iter().filter(|mistake| mistake.severe).count();
        self.check_name(mistakes);
        let section =
            self.section.map(|section| layer::layer::<Written>(section, Style::Camel, &[], mistakes));
        let layers = [more, section].into_iter().flatten();
        let layer = layers.fold(<Written as Config>::Layer::empty(), Layer::with_fallback);
        let written = match Written::from_layer(layer.with_fallback(Layer::default_values())) {
            Ok(written) => written,
            Err(error) => {
                mistakes.push(Mistake::new(self.place, error.to_string()));
                return None;
            }
        };
        let severe = |mistakes: &[Mistake]| mistakes.iter().filter(|mistake| mistake.severe).count();
        let is_well = severe(mistakes) == before;
        let config = self.config(written, device_ttl, mistakes);
        self.check_keys(&config, mistakes);
        self.check_addresses(&config, mistakes);
        self.check_origins(&config, mistakes);
        self.check_events(&config, mistakes);
        if is_well {
            // Where something is wrong, that may be what is missing.
            self.note_what_is_missing(&config, mistakes);
        }
        (severe(mistakes) == before).then_some(config)
    }

    fn check_name(&self, mistakes: &mut Vec<Mistake>) {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        let name = self.name;
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
            let tame: String =
                name.chars().map(|letter| if allowed(letter) { letter } else { '-' }).collect();
            mistakes.push(
                Mistake::new(
                    self.place,
                    format!("`{name}` cannot be a site's name: it is part of addresses"),
                )
                .suggest(format!(
                    "use up to {MAX_NAME} letters, digits, - _ and ., as in `{}`",
                    tame.trim_matches('-')
                )),
            );
        } else if RESERVED.contains(&name) || name.starts_with('.') {
            mistakes.push(
                Mistake::new(
                    self.place,
                    format!("`{name}` cannot be a site's name: the gateway has that path itself"),
                )
                .suggest(format!("call it `{}-site`, for example", name.trim_matches('.'))),
            );
        }
    }

    /// Where a setting stands; where the site begins if it does not.
    fn place_of(&self, setting: &str) -> &Place {
        let entries = self.section.and_then(Node::entries).unwrap_or_default();
        let entry = entries.iter().find(|entry: &&Entry| same(&entry.key) == same(setting));
        entry.map_or(self.place, |entry| &entry.value.place)
    }

    fn config(&self, written: Written, device_ttl: Duration, mistakes: &mut Vec<Mistake>) -> SiteConfig {
        let jwt = jwt::Written {
            secret: written.jwt_secret,
            public_key: written.jwt_public_key,
            jwks_url: written.jwks_url,
            algorithms: written.jwt_algorithms,
            issuer: written.jwt_issuer,
            audience: written.jwt_audience,
            rooms: written.jwt_rooms,
        };
        let jwt = jwt.check().unwrap_or_else(|(setting, what, instead)| {
            mistakes.push(self.wrong(setting, what).suggest(instead));
            None
        });
        let auth = written.auth_url.map(|url| AuthUrl {
            url: url.0,
            scheme: written.auth_scheme.0,
            timeout: written.auth_timeout.0,
            retries: u32::try_from(written.auth_retries.0).unwrap_or(u32::MAX),
            concurrency: usize::try_from(written.auth_concurrency.0).unwrap_or(usize::MAX),
        });
        let some = |text: Option<Text>| text.map(|text| text.0).filter(|text| !text.is_empty());
        let api_keys = written.api_key.map_or_else(Vec::new, Texts::into_strings);
        // An origin has no path, however often it is written with a slash.
        let allow_origins = written.allow_origins.map_or_else(Vec::new, Texts::into_strings);
        let allow_origins =
            allow_origins.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect();
        SiteConfig {
            name: self.name.to_owned(),
            api_keys: api_keys.into_iter().map(Secret::new).collect(),
            open: written.open.0,
            auth,
            jwt,
            services: written.services.unwrap_or_default(),
            user_room_prefix: some(written.user_room_prefix),
            public_channel: some(written.public_channel),
            update_user_url: written.update_user_url.map(|url| url.0),
            device_ttl: match written.device_ttl.map_or(device_ttl, |ttl| ttl.0) {
                Duration::ZERO => FOR_EVER,
                ttl => ttl,
            },
            allow_origins,
            subscribe: written.subscribe.0,
            publish: written.publish.0,
            history: (usize::try_from(written.history.0).unwrap_or(usize::MAX), written.history_age.0),
            presence: written.presence.0,
            max_connections: written
                .max_connections
                .map_or(usize::MAX, |most| usize::try_from(most.0).unwrap_or(usize::MAX)),
            events: written.events,
            events_path: written.events_path.0,
            passthrough_url: written.passthrough_url.map(|url| url.0),
            data_sources: written.data_sources.unwrap_or_default().0,
        }
    }

    fn wrong(&self, setting: &str, what: impl Into<String>) -> Mistake {
        Mistake::new(self.place_of(setting), what)
    }

    fn check_keys(&self, config: &SiteConfig, mistakes: &mut Vec<Mistake>) {
        let is_meant =
            |mistake: &Mistake| mistake.suggestion.as_ref().is_some_and(|meant| meant.contains("`apiKey`"));
        if config.api_keys.is_empty() && !config.open && !mistakes.iter().any(is_meant) {
            let what = format!("the site `{}` has no `apiKey`: nobody could send to it", self.name);
            let instead = "add `apiKey:` with a long random text, such as `openssl rand -hex 32` makes";
            mistakes.push(self.wrong("apiKey", what).suggest(instead));
        }
    }

    fn check_origins(&self, config: &SiteConfig, mistakes: &mut Vec<Mistake>) {
        for origin in &config.allow_origins {
            if let Err(instead) = origin::check(origin) {
                let what = format!(
                    "no browser calls a page's origin `{origin}`, so that nobody would be let in by it"
                );
                mistakes.push(self.wrong("allowOrigins", what).suggest(instead));
            }
        }
    }

    fn check_addresses(&self, config: &SiteConfig, mistakes: &mut Vec<Mistake>) {
        if let Some(auth) = &config.auth {
            if !(1..=MAX_CONCURRENCY).contains(&auth.concurrency) {
                let instead = format!("write a number from 1 to {MAX_CONCURRENCY}");
                let what = "so many requests cannot be open at a time";
                mistakes.push(self.wrong("authConcurrency", what).suggest(instead));
            }
            if auth.retries > MAX_RETRIES {
                let instead = format!("write a number from 0 to {MAX_RETRIES}");
                mistakes.push(self.wrong("authRetries", "that is too often").suggest(instead));
            }
            if !TIMEOUTS.contains(&auth.timeout) {
                let what = "that is no time to wait for an answer";
                mistakes
                    .push(self.wrong("authTimeout", what).suggest("write a time from 1ms to 5m, such as 5s"));
            }
            if !auth.scheme.bytes().all(|byte| byte.is_ascii_graphic()) {
                let instead = "write `authScheme: Bearer`, for example";
                mistakes.push(self.wrong("authScheme", "a scheme is one word").suggest(instead));
            }
        }
        if config.update_user_url.as_ref().is_some_and(|url| !url.contains(":id")) {
            let what = "the address has no `:id`: it would be the same for every user";
            let instead = "put `:id` where the user's id belongs, as in http://newsite.com/users/:id";
            mistakes.push(self.wrong("updateUserUrl", what).suggest(instead));
        }
    }

    fn check_events(&self, config: &SiteConfig, mistakes: &mut Vec<Mistake>) {
        let first = config.events_path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if first != "events" && RESERVED.contains(&first) {
            let what = format!("the gateway has `/{first}` itself");
            let instead = "write another path, such as `eventsPath: /live`";
            mistakes.push(self.wrong("eventsPath", what).suggest(instead));
        }
        if config.max_connections == 0 {
            let what = "nobody could connect";
            let instead = "write a number from 1 on, or leave it out for no limit of the site's own";
            mistakes.push(self.wrong("maxConnections", what).suggest(instead));
        }
    }

    fn note_what_is_missing(&self, config: &SiteConfig, mistakes: &mut Vec<Mistake>) {
        let mut note = |setting: &str, what: &str, instead: &str| {
            mistakes.push(Mistake::note(self.place_of(setting), what).suggest(instead));
        };
        if config.auth.is_none() && config.jwt.is_none() && config.services.is_empty() && !config.open {
            let what = format!(
                "the site `{}` says nowhere who its clients are: only tokens that the API issues let somebody in",
                self.name
            );
            let instead = "add `authUrl: http://…`, `jwtSecret`, `jwksUrl`, `services`, or `open: true`";
            note("authUrl", &what, instead);
        }
        if config.user_room_prefix.is_none() {
            let instead = "add `userRoomPrefix: user_`, for example";
            if config.update_user_url.is_some() && config.jwt.is_none() && config.services.is_empty() {
                let what = "without `userRoomPrefix` no user is known, and the address is never used";
                note("updateUserUrl", what, instead);
            }
            if config.public_channel.is_some() {
                let what = "without `userRoomPrefix` everybody is let in, and this has no effect";
                note("publicChannel", what, instead);
            }
        }
        if !config.data_sources.is_empty() && !matches!(config.events, EventMode::On | EventMode::Data) {
            note("dataSources", "without `events: data` nobody can ask for them", "add `events: data`");
        }
        let passes = matches!(config.events, EventMode::On | EventMode::Passthrough);
        if config.passthrough_url.is_some() && !passes {
            let what = "without `events: passthrough`, or `true`, nothing is passed on";
            note("passthroughUrl", what, "add `events: passthrough`");
        }
        if config.events == EventMode::Passthrough && config.passthrough_url.is_none() {
            let what = "without `passthroughUrl` all that event clients say is ignored";
            note("events", what, "add `passthroughUrl: http://…`, or write `events: data`");
        }
    }
}
