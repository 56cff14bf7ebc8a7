//! Requests whose effects arrive elsewhere: at devices, which acknowledge them.
//!
//! In: how many callers and devices, who began which request, what came to devices. Out: latencies, from when a request
//! was written to when the last of its devices had it. It knows neither how requests are made nor what devices speak.

use std::{cell::RefCell, rc::Rc, time::Instant};

use tokio::{sync::Notify, task::JoinSet, time::timeout};

use super::{
    Bench, at_least_one,
    measure::{Board, measure},
    open_all, while_running,
};
use crate::{
    dialect::{Acknowledging, Dialect, Incoming},
    error::BenchError,
    report::Report,
    socket::{Connection, connection::PATIENCE},
};

/// Where the numbers of requests begin: all have twelve digits.
pub(super) const FIRST: u64 = 100_000_000_000;

/// The request that each caller has under way.
pub(super) struct Requests {
    slots: RefCell<Vec<Slot>>,
    board: Rc<Board>,
}

struct Slot {
    number: u64,
    sent: Instant,
    missing: usize,
    landed: Rc<Notify>,
}

impl Requests {
    /// For so many callers.
    fn new(callers: usize, board: Rc<Board>) -> Self {
        let slot = || Slot { number: 0, sent: Instant::now(), missing: 0, landed: Rc::default() };
        Self { slots: RefCell::new((0..callers).map(|_| slot()).collect()), board }
    }

    /// The number of this caller's request in its `turn`th turn.
    pub(super) fn number(&self, caller: usize, turn: usize) -> u64 {
        FIRST + (caller + turn * self.slots.borrow().len()) as u64
    }

    /// The caller begins a request that so many devices are to get.
    pub(super) fn take_off(&self, caller: usize, number: u64, missing: usize) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(caller) {
            (slot.number, slot.sent, slot.missing) = (number, Instant::now(), missing);
        }
    }

    /// A device has it. False when that is nothing that is under way.
    fn land(&self, number: u64) -> bool {
        let mut slots = self.slots.borrow_mut();
        let caller = usize::try_from(number.saturating_sub(FIRST)).unwrap_or(0) % slots.len();
        let slot = &mut slots[caller];
        if slot.number != number || slot.missing == 0 {
            return false;
        }
        slot.missing -= 1;
        if slot.missing == 0 {
            self.board.record(slot.sent.elapsed());
            slot.landed.notify_one();
        }
        true
    }

    /// Waits until every device has what this caller sent.
    pub(super) async fn landed(&self, caller: usize) -> Result<(), BenchError> {
        let missing = || self.slots.borrow().get(caller).map_or(0, |slot| slot.missing);
        let Some(landed) = self.slots.borrow().get(caller).map(|slot| Rc::clone(&slot.landed)) else {
            return Ok(());
        };
        let all = async {
            // It may have landed before anybody waited.
            while missing() > 0 {
                landed.notified().await;
            }
        };
        timeout(PATIENCE, all).await.map_err(|_| BenchError::Undelivered(missing()))
    }

    /// What was sent is for nobody who is there: its answer is all that comes.
    pub(super) fn answered(&self, caller: usize) {
        let sent = self.slots.borrow().get(caller).map(|slot| slot.sent.elapsed());
        self.board.record(sent.unwrap_or_default());
    }
}

/// A workload of such requests.
pub(super) struct Requesting {
    pub(super) requests: Rc<Requests>,
    board: Rc<Board>,
    devices: usize,
    callers: usize,
    tasks: JoinSet<Result<(), BenchError>>,
}

/// One who makes requests.
pub(super) struct Caller {
    /// Which of the callers.
    pub(super) place: usize,
    pub(super) requests: Rc<Requests>,
    callers: usize,
    devices: usize,
    nodes: usize,
}

impl Requesting {
    pub(super) fn new(devices: usize, callers: usize) -> Result<Self, BenchError> {
        let devices = at_least_one("the number of devices", devices)?;
        let callers = at_least_one("the number of callers", callers)?;
        let board = Board::new()?;
        let requests = Rc::new(Requests::new(callers, Rc::clone(&board)));
        Ok(Self { requests, board, devices, callers, tasks: JoinSet::new() })
    }

    /// Connects the devices, each to a node in turn. Those that do not stay go away again.
    pub(super) async fn connect<D: Acknowledging>(
        &mut self,
        dialect: &D,
        stay: bool,
        bench: &Bench<'_, impl Dialect>,
    ) -> Result<(), BenchError> {
        let open = |index| {
            let (dialect, address) = (dialect.for_follower(index), bench.node(index).clone());
            async move { Connection::open(dialect, &address).await }
        };
        for connection in open_all(self.devices, open).await? {
            if stay {
                self.tasks.spawn_local(take(connection, dialect.clone(), Rc::clone(&self.requests)));
            } else {
                connection.close().await?;
            }
        }
        Ok(())
    }

    /// The callers, each of whom is to be run on a node in turn, behind that of its devices.
    pub(super) fn callers(&self, bench: &Bench<'_, impl Dialect>) -> Vec<Caller> {
        let nodes = bench.nodes.len() + 1;
        let Self { ref requests, devices, callers, .. } = *self;
        let caller = |place| Caller { place, requests: Rc::clone(requests), callers, devices, nodes };
        (0..callers).map(caller).collect()
    }

    pub(super) fn run(&mut self, caller: impl Future<Output = Result<(), BenchError>> + 'static) {
        self.tasks.spawn_local(caller);
    }

    /// Counts what lands, while all goes on.
    pub(super) async fn measure(
        mut self,
        unit: &str,
        bench: &Bench<'_, impl Dialect>,
    ) -> Result<Report, BenchError> {
        while_running(&mut self.tasks, measure(unit, &self.board, bench.target, bench.options)).await
    }
}

impl Caller {
    /// The device that its `turn`th request is for, another each time.
    pub(super) fn device(&self, turn: usize) -> usize {
        device(self.place, turn, self.callers, self.devices, self.nodes)
    }
}

/// Takes what comes to a device and acknowledges it.
async fn take<D: Acknowledging>(
    mut connection: Connection<D>,
    dialect: D,
    requests: Rc<Requests>,
) -> Result<(), BenchError> {
    loop {
        let mut unsent = false;
        connection
            .receive(|incoming, outgoing| match incoming {
                Incoming::Delivery { id, number } => {
                    unsent |= !requests.land(number);
                    outgoing.text(&dialect.acknowledge(id));
                }
                // Sent to a device that had connected, but was still looking for what waits.
                Incoming::Batch { id, numbers } => {
                    unsent |= !numbers.into_iter().all(|number| requests.land(number));
                    outgoing.text(&dialect.acknowledge_batch(id));
                }
                _ => {}
            })
            .await?;
        if unsent {
            return Err(BenchError::Unsent);
        }
    }
}

/// The device that a caller's `turn`th request is for, another each time. The `n`th device is on the `n`th node in turn,
/// and so is that of the `n`th caller, who is on the node behind it: what is sent at one node is received at another,
/// where there is another.
fn device(caller: usize, turn: usize, callers: usize, devices: usize, nodes: usize) -> usize {
    let node = caller % nodes;
    let on_node = |all: usize| all.saturating_sub(node).div_ceil(nodes);
    match on_node(devices) {
        0 => caller % devices,
        there => node + nodes * ((caller / nodes + turn * on_node(callers)) % there),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_request_lands_when_every_device_has_it() {
        let requests = Requests::new(2, Board::new().unwrap());
        assert_eq!(requests.number(1, 1), FIRST + 3);
        requests.take_off(1, FIRST + 3, 2);
        assert!(!requests.land(FIRST + 1));
        assert!(requests.land(FIRST + 3));
        assert!(requests.land(FIRST + 3));
        assert!(!requests.land(FIRST + 3));
    }

    #[test]
    fn a_caller_asks_for_devices_of_one_node_and_all_callers_for_all() {
        for (callers, devices, nodes) in [(64, 1000, 1), (64, 1000, 2), (64, 1000, 3), (4, 100, 2), (5, 7, 3)]
        {
            let mut asked = BTreeSet::new();
            for caller in 0..callers {
                for turn in 0..devices {
                    let device = device(caller, turn, callers, devices, nodes);
                    assert!(device < devices && device % nodes == caller % nodes, "{device}");
                    asked.insert(device);
                }
            }
            assert_eq!(asked.len(), devices, "{callers} callers, {nodes} nodes");
        }
        // Fewer devices than nodes.
        assert_eq!(device(2, 0, 3, 1, 3), 0);
    }
}
