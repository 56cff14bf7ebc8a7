//! Holding a server still: each of its threads waits until it is let go.
//!
//! In: runtimes and how many threads each has. Nothing of the server runs, and
//! nobody asks the system what has arrived, while a [`Hold`] is there.

use std::sync::{Arc, Barrier};

use tokio::runtime::Handle;

/// The threads of a server, held until [`release`](Hold::release).
#[derive(Debug)]
#[must_use = "the server is held until it is released"]
pub(crate) struct Hold {
    gate: Arc<Barrier>,
}

impl Hold {
    /// Returns when all threads stand still.
    pub(crate) fn all<'a>(runtimes: impl Iterator<Item = (&'a Handle, usize)>) -> Self {
        let threads: Vec<&Handle> =
            runtimes.flat_map(|(handle, threads)| std::iter::repeat_n(handle, threads)).collect();
        let (arrived, gate) =
            (Arc::new(Barrier::new(threads.len() + 1)), Arc::new(Barrier::new(threads.len() + 1)));
        for handle in threads {
            let (arrived, gate) = (Arc::clone(&arrived), Arc::clone(&gate));
            // A thread that blocks here takes no second of these tasks.
            handle.spawn(async move {
                arrived.wait();
                gate.wait();
            });
        }
        arrived.wait();
        Self { gate }
    }

    /// Lets all of them go.
    pub(crate) fn release(self) {
        self.gate.wait();
    }
}
