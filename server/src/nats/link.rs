//! The one connection to NATS that everything of a node shares.
//!
//! ```text
//! broker, tokens, presence, devices ──request──▶ Link ──▶ client ──▶ the server, or another of its cluster
//!                                   ◀─ answer, or what is known ─┘
//! ```
//!
//! In: an address, requests. Out: answers, or what is known of what was asked. The client connects again by itself and
//! would keep what it is given meanwhile; here nothing is given to it while it is away. Knows nothing of channels.

mod abilities;
mod address;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{Context, ContextBuilder};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, Message, Request, connection};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::error::{LinkError, NatsError};
use super::options::{Credentials, NatsOptions};
use crate::engine::EngineStatus;
use abilities::{Abilities, NO_JETSTREAM, Wanted, look, seek};
use address::Address;

/// How often is looked how it stands, beside when the client says that something changed.
const LOOK: Duration = Duration::from_millis(500);
/// How the connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// How often a server was connected to.
    pub(super) connects: u64,
    pub(super) is_there: bool,
    /// How often messages came faster than they were taken, so that some are lost.
    pub(super) overruns: u64,
    since: Instant,
}

/// A connection, for as long as somebody holds it.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    jetstream: Context,
    standing: watch::Receiver<Standing>,
    abilities: Arc<Mutex<Abilities>>,
    pub(super) options: NatsOptions,
    address: String,
    /// A subject that nobody follows, so that the server answers at once.
    nobody: String,
    /// On which all that belongs to this connection runs.
    pub(super) runtime: Handle,
    supervisor: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// What the client's events leave for the supervisor.
#[derive(Debug, Default)]
struct Events {
    overruns: std::sync::atomic::AtomicU64,
    happened: Notify,
}

impl Link {
    /// Connects, and looks what the server can do.
    pub(super) async fn connect(address: &str, options: NatsOptions) -> Result<Arc<Self>, NatsError> {
        let Address { servers, shown, credentials } = Address::parse(address)?;
        let events = Arc::new(Events::default());
        let connecting = connect_options(&options, credentials, &events).await?;
        let refused = |error: async_nats::ConnectError| {
            let reason = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            NatsError::Connect { address: shown.clone(), reason }
        };
        let client = connecting.connect(servers).await.map_err(refused)?;
        let jetstream = ContextBuilder::new()
            .timeout(options.timeout)
            .max_ack_inflight(options.max_pending)
            .build(client.clone());
        let begun = Standing { connects: 1, is_there: true, overruns: 0, since: Instant::now() };
        let (stand, standing) = watch::channel(begun);
        let abilities = Arc::new(Mutex::new(Abilities::default()));
        let wanted = Wanted { replicas: options.replicas, prefix: options.prefix.clone() };
        let found = look(&client, &jetstream, Some(&wanted)).await;
        *abilities.lock() = found;
        for lack in &abilities.lock().lacks {
            tracing::warn!(address = shown, "{lack}");
        }
        let known = Arc::clone(&abilities);
        let seeking = seek(client.clone(), jetstream.clone(), known, wanted.clone(), shown.clone());
        let supervising = supervise(Supervised {
            client: client.clone(),
            jetstream: jetstream.clone(),
            stand,
            abilities: Arc::clone(&abilities),
            wanted,
            events,
            address: shown.clone(),
        });
        let supervisor = tokio::spawn(async move { tokio::join!(seeking, supervising) });
        let nobody = format!("{}.=nobody", super::names::token(&options.prefix));
        let supervisor = supervisor.abort_handle();
        Ok(Arc::new(Self {
            client,
            jetstream,
            standing,
            abilities,
            options,
            address: shown,
            nobody,
            runtime: Handle::current(),
            supervisor,
        }))
    }

    /// The client, for subscriptions. What is published by it is not known to have arrived.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// JetStream, where the server has it.
    pub(super) fn jetstream(&self) -> Result<&Context, LinkError> {
        if self.abilities.lock().jetstream {
            Ok(&self.jetstream)
        } else {
            Err(LinkError::Unsupported(NO_JETSTREAM))
        }
    }

    /// Whether of several who append on one condition one alone is let through, and purges do what they say: from 2.10 on.
    pub(super) fn is_strict(&self) -> bool {
        self.abilities.lock().strict
    }

    /// How the connection stands, and what becomes of it.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    pub(super) fn is_there(&self) -> bool {
        self.standing.borrow().is_there
    }

    /// How often a server was connected to, as the client counts it: the standing may be late by a moment.
    pub(super) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits until there is a connection.
    pub(super) async fn returned(&self) {
        // The sender lives as long as the supervisor, which lives as long as this.
        let _ = self.standing().wait_for(|now| now.is_there).await;
    }

    /// Does something over the connection that there is now. When that is lost before the end, the outcome is not known.
    pub(super) async fn during<T>(
        &self,
        work: impl Future<Output = Result<T, LinkError>>,
    ) -> Result<T, LinkError> {
        let mut standing = self.standing();
        let begun = *standing.borrow_and_update();
        if !begun.is_there {
            return Err(LinkError::Away);
        }
        tokio::select! {
            biased;
            outcome = work => outcome,
            _ = standing.wait_for(|now| now.connects != begun.connects || !now.is_there) => Err(LinkError::Unknown),
        }
    }

    /// Asks and waits for the answer, no longer than the options say.
    pub(super) async fn request(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, LinkError> {
        self.request_within(self.options.timeout, subject, headers, payload).await
    }

    /// Asks something that can be asked again, and so waits for a part of that time only: a stream that is just being
    /// made may take a question and not answer it.
    pub(super) async fn request_again(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, LinkError> {
        self.request_within(self.options.timeout / 5, subject, headers, payload).await
    }

    async fn request_within(
        &self,
        time: Duration,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, LinkError> {
        let limit = self.client.max_payload();
        // Headers are short.
        if payload.len() + 256 > limit {
            return Err(LinkError::TooLarge(limit));
        }
        let mut request = Request::new().payload(payload).timeout(Some(time));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        self.during(async { Ok(self.client.send_request(subject, request).await?) }).await
    }

    /// Waits until the server has done all that this client asked of it before.
    pub(super) async fn settled(&self) -> Result<(), LinkError> {
        // The server itself answers that nobody is there, behind what came before.
        match self.request(self.nobody.clone(), None, Bytes::new()).await {
            Ok(_) | Err(LinkError::Nobody) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn status(&self) -> EngineStatus {
        let standing = *self.standing.borrow();
        let abilities = self.abilities.lock().clone();
        let mut status = EngineStatus::new("nats", self.address.clone());
        status.version = abilities.version;
        status.lacks = abilities.lacks;
        status.away = (!standing.is_there).then(|| standing.since.elapsed());
        status
    }
}

async fn connect_options(
    options: &NatsOptions,
    of_address: Credentials,
    events: &Arc<Events>,
) -> Result<ConnectOptions, NatsError> {
    let mut connecting = ConnectOptions::new()
        .name("tokensocket")
        .connection_timeout(options.timeout)
        .request_timeout(Some(options.timeout))
        .ping_interval(options.ping)
        .reconnect_delay_callback(delay);
    for file in &options.certificates {
        connecting = connecting.add_root_certificates(file.clone());
    }
    if let Some((certificate, key)) = &options.client_certificate {
        connecting = connecting.add_client_certificate(certificate.clone(), key.clone());
    }
    let credentials = match options.credentials.clone() {
        Credentials::Address => of_address,
        said => said,
    };
    connecting = match credentials {
        Credentials::Address => connecting,
        Credentials::UserAndPassword(user, password) => connecting.user_and_password(user, password),
        Credentials::Token(token) => connecting.token(token),
        Credentials::Nkey(seed) => connecting.nkey(seed),
        Credentials::File(file) => connecting.credentials_file(&file).await.map_err(|error| {
            NatsError::File { file: file.display().to_string(), reason: error.to_string() }
        })?,
    };
    let events = Arc::clone(events);
    Ok(connecting.event_callback(move |event| {
        if matches!(event, Event::SlowConsumer(_)) {
            events.overruns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        if let Event::ServerError(error) = &event {
            tracing::warn!(%error, "NATS says");
        }
        events.happened.notify_one();
        std::future::ready(())
    }))
}

/// How long to wait before a try: at once for the first, then 100 ms doubling to 5 s, up to half of it by chance.
fn delay(attempts: usize) -> Duration {
    let Some(doublings) = attempts.checked_sub(2) else { return Duration::ZERO };
    let doublings = u32::try_from(doublings).unwrap_or(u32::MAX).min(6);
    let full = Duration::from_millis(100).saturating_mul(1 << doublings).min(Duration::from_secs(5));
    full.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

struct Supervised {
    client: Client,
    jetstream: Context,
    stand: watch::Sender<Standing>,
    abilities: Arc<Mutex<Abilities>>,
    wanted: Wanted,
    events: Arc<Events>,
    address: String,
}

/// Keeps what is known of the connection true.
async fn supervise(all: Supervised) {
    let Supervised { client, jetstream, stand, abilities, wanted, events, address } = all;
    // What the server can do is looked at beside that, since its answers may take long.
    let mut looking: Option<BoxFuture<'_, Abilities>> = None;
    loop {
        let found = async {
            match &mut looking {
                Some(looking) => looking.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            found = found => {
                looking = None;
                tracing::debug!(address, version = found.version, lacks = ?found.lacks, "what NATS can do");
                let mut known = abilities.lock();
                // A server that is just starting may not have JetStream ready: what was there is taken to come.
                let jetstream = known.jetstream || found.jetstream;
                *known = Abilities { jetstream, ..found };
            }
            _ = tokio::time::timeout(LOOK, events.happened.notified()) => {}
        }
        let before = *stand.borrow();
        let now = Standing {
            connects: client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed),
            is_there: client.connection_state() == connection::State::Connected,
            overruns: events.overruns.load(std::sync::atomic::Ordering::Relaxed),
            since: before.since,
        };
        if now == before {
            continue;
        }
        let is_another = now.connects != before.connects || now.is_there != before.is_there;
        stand.send_replace(Standing { since: if is_another { Instant::now() } else { before.since }, ..now });
        if !now.is_there && before.is_there {
            tracing::warn!(address, "NATS is away");
        }
        if is_another {
            looking = None;
        }
        if now.is_there && is_another {
            tracing::info!(address, away_ms = before.since.elapsed().as_millis(), "NATS is back");
            // What it keeps is looked at once, unless it was missed.
            let is_missed = abilities.lock().is_missed;
            looking = Some(look(&client, &jetstream, is_missed.then_some(&wanted)).boxed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_later_and_later() {
        assert_eq!(delay(1), Duration::ZERO);
        for (attempts, least, most) in [(2, 50, 100), (3, 100, 200), (8, 2500, 5000), (1000, 2500, 5000)] {
            let delay = delay(attempts).as_millis();
            assert!((least..=most).contains(&delay), "{attempts}: {delay}");
        }
    }
}
