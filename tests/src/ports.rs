//! Ports for servers that are told where to listen, and may go and come back.
//!
//! In: an address of this machine. Out: a port that is free there. It stays so while its server is away: the system gives
//! others to whoever connects or asks for any, and processes of tests begin to look in
//! different places, so that two rarely want the same.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where Linux says which ports it gives by itself: the first and the last.
const GIVEN: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// The first of those where it does not say.
const USUALLY_GIVEN: u16 = 32_768;
/// The first port that is ours.
const FIRST: u16 = 10_000;
/// How far apart two processes begin of which one was started after the other.
const STRIDE: u32 = 61;

/// A port that is free, and its address.
pub fn lasting(ip: impl Into<IpAddr>) -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ip = ip.into();
    let count = u32::from(first_given().saturating_sub(FIRST));
    let ours = (0..count).find_map(|_| {
        let next = std::process::id().wrapping_mul(STRIDE).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(next % count).expect("less than all ports");
        let address = SocketAddr::new(ip, port);
        TcpListener::bind(address).is_ok().then_some(address)
    });
    // Where the system gives all of them, one that it has just given is as good.
    ours.unwrap_or_else(|| {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        listener.local_addr().expect("a bound listener has an address")
    })
}

fn first_given() -> u16 {
    let said = std::fs::read_to_string(GIVEN).unwrap_or_default();
    let first = said.split_whitespace().next().and_then(|first| first.parse().ok());
    first.unwrap_or(USUALLY_GIVEN)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn ports_are_free_and_none_that_the_system_gives() {
        let address = lasting(Ipv4Addr::LOCALHOST);
        let _held = TcpListener::bind(address).expect("it is free");
        for _ in 0..100 {
            let other = lasting(Ipv4Addr::LOCALHOST);
            assert_ne!(other, address);
            assert!(other.port() < first_given() || first_given() <= FIRST, "{other}");
        }
    }
}
