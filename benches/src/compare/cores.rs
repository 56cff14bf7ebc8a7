//! Which core runs what.
//!
//! A process inherits the affinity of the thread that starts it. So a server is
//! pinned by moving this thread to its cores for the moment of the start.

use std::{collections::BTreeSet, thread};

use serde::{Deserialize, Serialize};

use super::{args::CompareArgs, error::CompareError};

/// The cores of a comparison.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Cores {
    /// Servers run on these.
    pub server: Vec<usize>,
    /// The row with two cores runs on these.
    pub two: Vec<usize>,
    /// The load generator runs on this one.
    pub load: usize,
}

impl Cores {
    /// What `arguments` say; none where nothing is to be pinned.
    pub(super) fn of(arguments: &CompareArgs) -> Option<Self> {
        let available = thread::available_parallelism().map_or(1, Into::into);
        (!arguments.unpinned)
            .then(|| Self::new(&arguments.server_cores, &arguments.two_cores, arguments.load_core, available))
    }

    /// Servers on `server`, the generator on `load`. With no cores in `two`,
    /// those of `server` are made two: by cores nobody has, of the machine's
    /// `available`, and only then by the generator's.
    fn new(server: &[usize], two: &[usize], load: usize, available: usize) -> Self {
        let distinct = |cores: &[usize]| cores.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let server: Vec<usize> = distinct(server);
        let two = if two.is_empty() {
            let free = (0..available).filter(|core| !server.contains(core) && *core != load);
            distinct(&server.iter().copied().chain(free).chain([load]).take(2).collect::<Vec<_>>())
        } else {
            distinct(two)
        };
        Self { server, two, load }
    }

    /// The same, with servers on the cores of the row with two.
    pub(super) fn with_two(&self) -> Self {
        Self { server: self.two.clone(), ..self.clone() }
    }

    /// Whether the load generator takes time from a server on `cores`.
    pub(super) fn shares(&self, cores: &[usize]) -> bool {
        cores.contains(&self.load)
    }

    /// Does `work`, which starts a server, on the server's cores. The calling
    /// thread is on the load's core afterwards.
    pub(super) fn as_server<T>(&self, work: impl FnOnce() -> T) -> Result<T, CompareError> {
        pin(&self.server)?;
        let done = work();
        pin(&[self.load])?;
        Ok(done)
    }
}

#[cfg(target_os = "linux")]
fn pin(cores: &[usize]) -> Result<(), CompareError> {
    use nix::{
        sched::{CpuSet, sched_setaffinity},
        unistd::Pid,
    };
    let mut set = CpuSet::new();
    let failed = |core: usize, error: nix::Error| CompareError::Core { core, reason: error.to_string() };
    for core in cores {
        set.set(*core).map_err(|error| failed(*core, error))?;
    }
    // Of several cores the system refuses only when there is none of them.
    sched_setaffinity(Pid::from_raw(0), &set)
        .map_err(|error| failed(cores.first().copied().unwrap_or_default(), error))
}

#[cfg(not(target_os = "linux"))]
fn pin(cores: &[usize]) -> Result<(), CompareError> {
    let core = cores.first().copied().unwrap_or_default();
    Err(CompareError::Core { core, reason: "pinning needs Linux".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_core_is_the_generators_only_when_there_is_no_other() {
        let cores = Cores::new(&[0], &[], 1, 2);
        assert_eq!(cores.two, [0, 1]);
        assert!(cores.shares(&cores.two) && !cores.shares(&cores.server));
        let cores = Cores::new(&[0], &[], 1, 4);
        assert_eq!(cores.two, [0, 2]);
        assert!(!cores.shares(&cores.two));
        assert_eq!(Cores::new(&[0], &[3, 2], 1, 4).two, [2, 3]);
    }
}
