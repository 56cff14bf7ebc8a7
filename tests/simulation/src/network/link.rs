//! One connection: what is on its way, and what becomes of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::trace::Trace;

/// How connections fare.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    /// The longest way there, in microseconds.
    pub(crate) latency: u64,
    /// How much longer a single write may take, in microseconds.
    pub(crate) jitter: u64,
    /// How many bytes are under way at most, in one direction.
    pub(crate) window: usize,
    /// The chance that a connection is struck by itself.
    pub(crate) fault: f64,
    /// Within how many bytes.
    pub(crate) within: u64,
    /// The chance that a read brings a few bytes only.
    pub(crate) fragments: f64,
}

impl Weather {
    /// Nothing goes wrong, and all is quick.
    pub(crate) fn calm() -> Self {
        Self { latency: 2_000, jitter: 0, window: 1 << 16, fault: 0.0, within: 1, fragments: 0.0 }
    }

    pub(super) fn latency(&self, random: &mut fastrand::Rng) -> Duration {
        Duration::from_micros(random.u64(0..=self.latency))
    }
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Both ends hear that it broke. What was under way may still come, or not.
    Cut,
    /// The process that accepted it is gone: what it had not read, it never reads.
    Crash,
    /// Nobody hears anything any more, and nobody is told.
    Silence,
}

/// One of the two ways of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From who opened it to who accepted it.
    There,
    /// And back.
    Back,
}

impl Way {
    pub(super) fn other(self) -> Self {
        match self {
            Self::There => Self::Back,
            Self::Back => Self::There,
        }
    }
}

/// One connection.
pub(crate) struct Link {
    pub(super) name: u64,
    state: Mutex<State>,
    trace: Arc<Trace>,
}

pub(super) struct State {
    random: fastrand::Rng,
    latency: Duration,
    jitter: u64,
    window: usize,
    fragments: f64,
    there: Direction,
    back: Direction,
    /// What will happen by itself, and behind how many bytes of which way.
    fate: Option<(Way, u64, Fault)>,
    pub(super) fault: Option<Fault>,
}

#[derive(Default)]
pub(super) struct Direction {
    under_way: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    written: u64,
    /// The writer has said that this is all.
    pub(super) finished: bool,
    /// The reader has gone.
    pub(super) deaf: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// What a read finds.
pub(super) enum Arrival {
    Bytes(Bytes),
    /// Something comes at this time.
    At(Instant),
    Nothing,
    End,
    Broken,
}

impl Link {
    pub(super) fn new(
        name: u64,
        weather: &Weather,
        random: &mut fastrand::Rng,
        trace: Arc<Trace>,
    ) -> Arc<Self> {
        let latency = weather.latency(random);
        let fate = (random.f64() < weather.fault).then(|| {
            let way = if random.bool() { Way::There } else { Way::Back };
            let fault = if random.u8(0..4) == 0 { Fault::Silence } else { Fault::Cut };
            (way, random.u64(0..=weather.within), fault)
        });
        let state = State {
            random: random.fork(),
            latency,
            jitter: weather.jitter,
            window: weather.window.max(1),
            fragments: weather.fragments,
            there: Direction::default(),
            back: Direction::default(),
            fate,
            fault: None,
        };
        trace.note(format_args!("connection {name} opens, {latency:?} long, {fate:?}"));
        Arc::new(Self { name, state: Mutex::new(state), trace })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn is_open(&self) -> bool {
        let state = self.state.lock();
        state.fault.is_none() && !state.there.finished && !state.back.finished
    }

    pub(super) fn is_silent(&self) -> bool {
        self.state.lock().fault == Some(Fault::Silence)
    }

    /// Nothing will happen to it by itself.
    pub(super) fn spare(&self) {
        self.state.lock().fate = None;
    }

    pub(super) fn strike(&self, fault: Fault) {
        self.state.lock().strike(fault, self.name, &self.trace);
    }

    /// Takes bytes onto the way, as many as it has room for; `None` when it has no room.
    pub(super) fn write(&self, way: Way, bytes: &[u8]) -> Option<usize> {
        let state = &mut *self.state.lock();
        let delay = state.latency + Duration::from_micros(state.random.u64(0..=state.jitter));
        let (window, silent) = (state.window, state.fault == Some(Fault::Silence));
        let fate = state.fate.filter(|(on, ..)| *on == way).map(|(_, behind, fault)| (behind, fault));
        let direction = state.direction(way);
        let room = window.saturating_sub(direction.bytes);
        if room == 0 {
            return None;
        }
        let count = bytes.len().min(room);
        direction.written += count as u64;
        let lost = fate.map_or(0, |(behind, _)| direction.written.saturating_sub(behind));
        let kept = count - usize::try_from(lost).unwrap_or(count).min(count);
        self.trace.bytes(self.name << 1 | u64::from(way == Way::Back), &bytes[..count]);
        if silent {
            // They fill the sender's window, and go nowhere.
            direction.bytes += count;
        } else if kept > 0 {
            let last = direction.under_way.back().map(|(at, _)| *at);
            let at = (Instant::now() + delay).max(last.unwrap_or_else(Instant::now));
            direction.under_way.push_back((at, Bytes::copy_from_slice(&bytes[..kept])));
            direction.bytes += kept;
            wake(&mut direction.reader);
        }
        if lost > 0
            && let Some((_, fault)) = fate
        {
            state.fate = None;
            state.strike(fault, self.name, &self.trace);
        }
        Some(count)
    }

    /// What there is to read now, at most `room` bytes.
    pub(super) fn read(&self, way: Way, room: usize) -> Arrival {
        let state = &mut *self.state.lock();
        let few = state.fragments > 0.0 && state.random.f64() < state.fragments;
        let room = if few { room.min(state.random.usize(1..=16)) } else { room };
        let fault = state.fault;
        let direction = state.direction(way);
        let Some((at, bytes)) = direction.under_way.front_mut() else {
            return match fault {
                Some(Fault::Cut | Fault::Crash) => Arrival::Broken,
                None if direction.finished => Arrival::End,
                Some(Fault::Silence) | None => Arrival::Nothing,
            };
        };
        if *at > Instant::now() {
            return Arrival::At(*at);
        }
        let taken = bytes.split_to(room.min(bytes.len()));
        if bytes.is_empty() {
            direction.under_way.pop_front();
        }
        direction.bytes -= taken.len();
        wake(&mut direction.writer);
        Arrival::Bytes(taken)
    }
}

impl State {
    pub(super) fn direction(&mut self, way: Way) -> &mut Direction {
        match way {
            Way::There => &mut self.there,
            Way::Back => &mut self.back,
        }
    }

    fn strike(&mut self, fault: Fault, name: u64, trace: &Trace) {
        if self.fault.is_some() {
            return;
        }
        trace.note(format_args!("connection {name}: {fault:?}"));
        self.fault = Some(fault);
        for way in [Way::There, Way::Back] {
            let lost =
                self.random.bool() || fault == Fault::Silence || fault == Fault::Crash && way == Way::There;
            let direction = self.direction(way);
            if lost {
                direction.under_way.clear();
            }
            wake(&mut direction.reader);
            wake(&mut direction.writer);
        }
    }
}

pub(super) fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
