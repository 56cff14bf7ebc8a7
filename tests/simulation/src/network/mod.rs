//! The network between clients and servers: connections in memory that are slow, break, and fall silent.
//!
//! ```text
//! client ── Stream ──▶ Link: two directions of bytes, each with its delays, and one fault ◀── Stream ── server
//! ```
//!
//! In: connections that clients open, and what the weather is. Out: streams that read and write like TCP's. Bytes of
//! one direction keep their order; those of different connections overtake each other. Knows nothing of what the
//! bytes mean.

mod link;
mod stream;

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::trace::Trace;
use link::Link;

pub(crate) use link::{Fault, Weather};
pub(crate) use stream::Stream;

/// Every connection of one world.
pub(crate) struct Network {
    trace: Arc<Trace>,
    state: Mutex<State>,
}

struct State {
    random: fastrand::Rng,
    weather: Weather,
    /// Who accepts connections at the moment.
    listener: Option<UnboundedSender<Stream>>,
    links: Vec<Weak<Link>>,
    opened: u64,
}

/// Nobody accepts connections.
#[derive(Debug)]
pub(crate) struct Refused;

impl Network {
    pub(crate) fn new(random: fastrand::Rng, weather: Weather, trace: Arc<Trace>) -> Self {
        let state = State { random, weather, listener: None, links: Vec::new(), opened: 0 };
        Self { trace, state: Mutex::new(state) }
    }

    /// Connections come here from now on; those to an earlier listener are its own affair.
    pub(crate) fn listen(&self, listener: UnboundedSender<Stream>) {
        self.state.lock().listener = Some(listener);
    }

    /// Nobody accepts connections from now on.
    pub(crate) fn close(&self) {
        self.state.lock().listener = None;
    }

    /// From now on nothing goes wrong, with open connections neither.
    pub(crate) fn calm(&self) {
        let state = &mut *self.state.lock();
        state.weather = Weather::calm();
        state.links.iter().filter_map(Weak::upgrade).for_each(|link| link.spare());
    }

    /// How long a request and its answer take, beside what they cause.
    pub(crate) fn round_trip(&self) -> Duration {
        let state = &mut *self.state.lock();
        state.weather.latency(&mut state.random) * 2
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> Result<Stream, Refused> {
        let state = &mut *self.state.lock();
        let Some(listener) = &state.listener else { return Err(Refused) };
        state.opened += 1;
        let link = Link::new(state.opened, &state.weather, &mut state.random, Arc::clone(&self.trace));
        let (near, far) = stream::pair(&link);
        listener.send(far).map_err(|_| Refused)?;
        state.links.retain(|link| link.strong_count() > 0);
        state.links.push(Arc::downgrade(&link));
        Ok(near)
    }

    /// How many connections have fallen silent, and are still held by somebody who has not noticed.
    pub(crate) fn silent(&self) -> usize {
        self.state.lock().links.iter().filter_map(Weak::upgrade).filter(|link| link.is_silent()).count()
    }

    /// Something happens to one of the open connections, if there is one.
    pub(crate) fn strike(&self, fault: Fault) {
        let link = {
            let state = &mut *self.state.lock();
            let open: Vec<_> =
                state.links.iter().filter_map(Weak::upgrade).filter(|link| link.is_open()).collect();
            state.random.choice(open)
        };
        if let Some(link) = link {
            link.strike(fault);
        }
    }

    /// The machine at the far end is gone: all connections to it break.
    pub(crate) fn strike_all(&self, fault: Fault) {
        let links: Vec<_> = self.state.lock().links.iter().filter_map(Weak::upgrade).collect();
        for link in links {
            link.strike(fault);
        }
    }
}
