//! A site's server.
//!
//! In: what is configured, a door, and where things are kept. Out: a server that asks the door.

use std::sync::Arc;

use tokensocket_server::events::{self, EventOptions};
use tokensocket_server::{
    AllowedOrigins, AuthenticateError, BuildError, ChannelOptions, Drain, ErrorCode, History, Presence,
    RpcError, Server,
};

use super::credentials::Credentials;
use super::data_source::{Authorize, DataSources};
use super::door::{Door, Full};
use super::identity;
use super::passthrough::Passthrough;
use super::refusal::Refused;
use crate::config::{EVENTS_PATH, EventMode, SiteConfig};
use crate::storage::Storage;

/// Where a site's server has its event clients; the front knows where they believe to connect.
pub(super) const EVENTS: &str = EVENTS_PATH;

/// Builds the server. Nothing runs yet.
pub(super) fn build(
    config: &SiteConfig,
    door: &Arc<Door>,
    storage: &Storage,
    drain: Drain,
) -> Result<Server, BuildError> {
    let (asked, coming, going) = (Arc::clone(door), Arc::clone(door), Arc::clone(door));
    let (following, publishing, broadcasting) = (Arc::clone(door), Arc::clone(door), Arc::clone(door));
    let builder =
        Server::builder()
            .authenticate(move |request| {
                let door = Arc::clone(&asked);
                async move {
                    door.check_room().map_err(full)?;
                    Ok(door.admit(&Credentials::from(&request)).await?)
                }
            })
            .on_authenticate(move |socket| {
                let came = coming.came(&socket);
                async move {
                    came.map_err(|full| RpcError::text(full.to_string()).with_code(ErrorCode::Overloaded))
                }
            })
            .on_disconnect(move |socket, _| {
                going.went(&socket);
                async {}
            })
            .on_subscribe(move |_, _| {
                let allowed = following.config().subscribe;
                async move { allow(allowed, "clients do not follow channels on this site") }
            })
            .on_publish(move |_, _, _| {
                let allowed = publishing.config().publish;
                async move { allow(allowed, "clients do not publish on this site") }
            })
            .on_broadcast(move |_, _| {
                let allowed = broadcasting.config().publish;
                async move { allow(allowed, "clients do not publish on this site") }
            })
            .device_ttl(config.device_ttl)
            .drain(drain)
            .allowed_origins(match &*config.allow_origins {
                [] => AllowedOrigins::any(),
                some => AllowedOrigins::named(some),
            })
            .events(EVENTS, events(config, door));
    let builder = match channels(config) {
        Some(options) => builder.channels(">", options),
        None => builder,
    };
    storage.serve(builder).build()
}

fn full(full: Full) -> AuthenticateError {
    AuthenticateError::Failed(full.to_string())
}

fn allow(allowed: bool, why: &'static str) -> Result<(), RpcError> {
    if allowed { Ok(()) } else { Err(RpcError::text(why).with_code(ErrorCode::Forbidden)) }
}

/// What every channel does; `None`: nothing beside passing on.
fn channels(config: &SiteConfig) -> Option<ChannelOptions> {
    let (count, age) = config.history;
    if count == 0 && !config.presence {
        return None;
    }
    let options = ChannelOptions::new();
    let options = if count > 0 { options.history(History::new(count, age)) } else { options };
    Some(if config.presence { options.presence(Presence::new().announce()) } else { options })
}

/// What event clients may do. Asked again when what is configured has changed.
pub(super) fn events(config: &SiteConfig, door: &Arc<Door>) -> EventOptions {
    let options = EventOptions::new(match config.events {
        EventMode::Off => events::EventMode::Off,
        EventMode::On => events::EventMode::Both,
        EventMode::Data => events::EventMode::Data,
        EventMode::Passthrough => events::EventMode::Passthrough,
    });
    let options = if config.open { options.open() } else { options };
    // Where nobody can be asked, the tokens that the API issues let somebody in.
    let options = if door.asks_somebody() {
        let door = Arc::clone(door);
        let options = options.authenticate(move |request| {
            let door = Arc::clone(&door);
            async move {
                door.check_room().map_err(full)?;
                let refused = |refused: Refused| AuthenticateError::Refused(refused.to_string());
                door.admit(&Credentials::from(&request)).await.map_err(refused)
            }
        });
        // A page that was given a token for one connection connects with that, whoever else is asked here.
        options.or_token()
    } else {
        options
    };
    // A client's token is for the site that gave it, and for nobody else.
    let site = config.auth.as_ref().map(|auth| auth.url.clone());
    let same_site = move |url: &str| site.as_deref().is_some_and(|site| origin(site) == origin(url));
    let (own, others): (Vec<_>, Vec<_>) =
        config.data_sources.clone().into_iter().partition(|(_, url)| same_site(url));
    let client = door.client();
    let options = match &config.passthrough_url {
        Some(url) => {
            let authorize: Authorize =
                if same_site(url) { Arc::new(identity::authorization) } else { Arc::new(|_| None) };
            let passthrough = Arc::new(Passthrough::new(client.clone(), url.clone(), authorize));
            let tasks = door.passing().clone();
            options.on_event(move |message, socket| {
                let (passthrough, tasks) = (Arc::clone(&passthrough), tasks.clone());
                async move {
                    // A client that closes is done with it, and the site is not. While its client is there, it counts as
                    // the client's.
                    let _ = tasks.spawn(passthrough.pass(message, socket)).await;
                }
            })
        }
        None => options,
    };
    let with = DataSources::new(client.clone(), own.into_iter().collect(), Arc::new(identity::authorization));
    let without = DataSources::new(client.clone(), others.into_iter().collect(), Arc::new(|_| None));
    without.apply(with.apply(options))
}

fn origin(text: &str) -> Option<url::Origin> {
    url::Url::parse(text).ok().map(|url| url.origin())
}
