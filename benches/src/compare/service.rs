//! Some nodes that are one service, with the engine that they share.
//!
//! In: how many, on what, and the command of one. Out: what the load generator is told of them. They end when this is
//! dropped, and the engine after them.

use std::process::Command;

use super::{
    engine::Engine,
    error::CompareError,
    ground::Ground,
    launch::{self, Running, port_in},
};
use crate::{
    BenchError,
    report::{Report, Window},
    target::{DialectName, Process, Target},
    workload::Workload,
};

/// What the processes of further nodes are called in reports; all others beside the first node are the engine's.
const NODE: &str = "node ";

/// A running service.
#[derive(Debug)]
pub(super) struct Service {
    name: &'static str,
    nodes: Vec<(Running, u16)>,
    engine: Engine,
}

impl Service {
    /// Starts so many nodes on the servers' cores, each by what `command` makes of the engine.
    pub(super) fn start(
        name: &'static str,
        nodes: usize,
        engine: Engine,
        ground: &Ground,
        command: impl Fn(&Engine) -> Command,
    ) -> Result<Self, CompareError> {
        let start = |_| {
            let mut command = command(&engine);
            // What servers log is no part of what is measured.
            command.env("RUST_LOG", "error");
            launch::start(name, command, ground.cores.as_ref(), port_in)
        };
        let nodes = (0..nodes).map(start).collect::<Result<_, _>>()?;
        Ok(Self { name, nodes, engine })
    }

    /// Loads it.
    pub(super) fn load(
        &self,
        dialect: DialectName,
        workload: &Workload,
        ground: &Ground,
    ) -> Result<Report, CompareError> {
        self.target()
            .and_then(|target| crate::run(&target.dialect(dialect), workload, &ground.options))
            .map_err(|error| CompareError::Load { name: self.name.to_owned(), source: error })
    }

    fn target(&self) -> Result<Target, BenchError> {
        let Some(((first, port), others)) = self.nodes.split_first() else {
            return Err(BenchError::Zero("the number of nodes"));
        };
        let mut target = Target::new(&format!("http://127.0.0.1:{port}"))?.server(first.pid());
        for (number, (node, port)) in (2..).zip(others) {
            target = target.node(*port).beside(Process { name: format!("{NODE}{number}"), pid: node.pid() });
        }
        Ok(match self.engine.process() {
            Some(process) => target.beside(process),
            None => target,
        })
    }
}

/// CPU seconds of all nodes.
pub(super) fn nodes_cpu(window: &Window) -> Option<f64> {
    let others = window.beside_cpu_seconds.iter().filter(|(name, _)| is_node(name));
    Some(window.server_cpu_seconds? + others.map(|(_, seconds)| seconds).sum::<f64>())
}

/// CPU seconds of their engine, if there is one.
pub(super) fn engine_cpu(window: &Window) -> Option<f64> {
    window.beside_cpu_seconds.iter().find(|(name, _)| !is_node(name)).map(|(_, seconds)| *seconds)
}

fn is_node(name: &str) -> bool {
    name.starts_with(NODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_time_of_all_nodes_from_their_engines() {
        let beside = [("node 2", 0.25), ("redis-server", 0.125), ("node 3", 1.0)];
        let mut window = Window {
            count: 1,
            seconds: 1.0,
            server_cpu_seconds: Some(0.5),
            beside_cpu_seconds: beside.map(|(name, seconds)| (name.to_owned(), seconds)).into(),
            generator_cpu_seconds: None,
        };
        assert_eq!((nodes_cpu(&window), engine_cpu(&window)), (Some(1.75), Some(0.125)));
        window.beside_cpu_seconds.clear();
        assert_eq!((nodes_cpu(&window), engine_cpu(&window)), (Some(0.5), None));
    }
}
