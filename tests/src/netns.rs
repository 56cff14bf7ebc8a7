//! Machines of their own, as network namespaces on one bridge.
//!
//! ```text
//! this process ── bridge ─┬─ veth ── engine
//!  (clients)              ├─ veth ── node 0
//!                         ├─ veth ── node 1
//!                         └─ veth ── node 2
//! ```
//!
//! In: how many machines. Out: a [`Place`] for each, and cuts between two of them: whatever one sends to the other
//! vanishes without a word, as on a broken switch. Needs root and `ip`. All of it is removed when the [`Netns`] is
//! dropped; what a killed run left is removed when the next one begins.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::process::Place;

/// What all our namespaces are called: this, the process that made them, the network's number, the machine's.
const PREFIX: &str = "tokensocket";

/// Machines on one bridge.
#[derive(Debug)]
pub struct Netns {
    number: u8,
    machines: u8,
}

impl Netns {
    /// Whether this process may make such machines; the reason if not.
    pub fn is_allowed() -> Result<(), String> {
        static PROBES: AtomicUsize = AtomicUsize::new(0);
        let number = PROBES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-probe{number}", std::process::id());
        let made = ip(&format!("netns add {name}"));
        // It is gone, or never was.
        let _ = ip(&format!("netns delete {name}"));
        made
    }

    /// Makes `machines` of them.
    pub fn new(machines: u8) -> Result<Self, String> {
        remove_left_overs();
        let first = std::process::id().to_le_bytes()[0];
        // A bridge that cannot be made is somebody else's. The first namespace is there before it, and tells whoever
        // finds them after a kill that both are ours.
        let number = (0..=u8::MAX).map(|add| first.wrapping_add(add)).find(|number| {
            let name = namespace(*number, 0);
            let made = ip(&format!("netns add {name}")).is_ok();
            let ours = made && ip(&format!("link add {} type bridge", bridge(*number))).is_ok();
            if made && !ours {
                remove(&name);
            }
            ours
        });
        let number = number.ok_or("no number is free for a bridge")?;
        // From here on it is removed when anything fails.
        let network = Self { number, machines };
        let bridge = bridge(number);
        ip(&format!("addr add {}/24 dev {bridge}", network.host()))?;
        ip(&format!("link set {bridge} up"))?;
        for at in 0..machines {
            let (name, port, address) = (namespace(number, at), network.port(at), network.address(at));
            if at > 0 {
                ip(&format!("netns add {name}"))?;
            }
            ip(&format!("link add {port} type veth peer name eth0 netns {name}"))?;
            ip(&format!("link set {port} master {bridge} up"))?;
            ip(&format!("-n {name} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        Ok(network)
    }

    /// One of the machines.
    pub fn place(&self, at: u8) -> Place {
        Place { namespace: Some(namespace(self.number, at)), ip: self.address(at) }
    }

    /// The address of this process.
    pub fn host(&self) -> IpAddr {
        self.address_ending(1)
    }

    /// From now on these two do not hear each other. All others hear both. One pair at a time.
    pub fn cut(&self, one: u8, other: u8) {
        for at in [one, other] {
            self.isolate(at, "on");
        }
    }

    /// Everybody hears everybody.
    pub fn heal(&self) {
        for at in 0..self.machines {
            self.isolate(at, "off");
        }
    }

    fn isolate(&self, at: u8, how: &str) {
        let port = self.port(at);
        ip(&format!("link set {port} type bridge_slave isolated {how}")).expect("a port of the bridge");
    }

    fn address(&self, at: u8) -> IpAddr {
        self.address_ending(10 + at)
    }

    fn address_ending(&self, end: u8) -> IpAddr {
        Ipv4Addr::new(10, 213, self.number, end).into()
    }

    /// The bridge's end of a machine's cable.
    fn port(&self, at: u8) -> String {
        format!("tsv{}-{at}", self.number)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        for at in 0..self.machines {
            remove(&namespace(self.number, at));
        }
        let _ = ip(&format!("link delete {}", bridge(self.number)));
    }
}

fn bridge(number: u8) -> String {
    format!("tsb{number}")
}

fn namespace(number: u8, at: u8) -> String {
    format!("{PREFIX}-{}-{number}-{at}", std::process::id())
}

/// Ends what runs in a namespace, and removes it.
fn remove(name: &str) {
    let pids = output(&format!("netns pids {name}"));
    for pid in pids.iter().flat_map(|text| text.split_whitespace()).filter_map(|pid| pid.parse().ok()) {
        // It may have ended meanwhile.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    let _ = ip(&format!("netns delete {name}"));
}

/// Removes the networks of runs that are no more.
fn remove_left_overs() {
    let Ok(names) = output("netns list") else { return };
    for name in names.lines().filter_map(|line| line.split_whitespace().next()) {
        let mut parts = name.split('-');
        if parts.next() != Some(PREFIX) {
            continue;
        }
        let pid = parts.next().unwrap_or_default();
        if std::path::Path::new("/proc").join(pid).exists() {
            continue;
        }
        remove(name);
        if let Some(number) = parts.next().and_then(|number| number.parse().ok()) {
            let _ = ip(&format!("link delete {}", bridge(number)));
        }
    }
}

fn ip(words: &str) -> Result<(), String> {
    output(words).map(drop)
}

/// What `ip` answers.
fn output(words: &str) -> Result<String, String> {
    let ran = Command::new("ip").args(words.split(' ')).stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } = ran.map_err(|error| format!("cannot run ip: {error}"))?;
    if status.success() {
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    } else {
        Err(format!("ip {words}: {}", String::from_utf8_lossy(&stderr).trim()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::*;
    use crate::engine::{Nats, Settings};

    /// Whether a machine gets a connection.
    fn reaches(place: &Place, to: SocketAddr) -> bool {
        let script = format!("exec 3<>/dev/tcp/{}/{}", to.ip(), to.port());
        let mut command = place.command("timeout");
        command.args(["0.3", "bash", "-c", &script]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    #[tokio::test]
    async fn two_machines_do_not_hear_each_other_while_they_are_cut() {
        if let Err(reason) = Netns::is_allowed() {
            println!("skipped, no network namespaces: {reason}");
            return;
        }
        let network = Netns::new(3).expect("three machines");
        let nats = Nats::with(Settings::new().place(network.place(0))).await;
        let reach = |at| reaches(&network.place(at), nats.address);
        assert!(reach(1) && reach(2));
        network.cut(0, 1);
        assert!(!reach(1) && reach(2));
        let connecting = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(nats.address));
        assert!(connecting.await.is_ok_and(|stream| stream.is_ok()), "clients hear all");
        network.heal();
        assert!(reach(1) && reach(2));
        let name = network.place(0).namespace.expect("a namespace");
        drop((nats, network));
        assert!(!output("netns list").expect("a list").contains(&name));
    }
}
