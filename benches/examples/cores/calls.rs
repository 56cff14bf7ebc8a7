//! Calls: how long the server takes for those that have all arrived before it begins.

use std::error::Error;
use std::time::{Duration, Instant};

use tokensocket_benches::{Calls, Report};

use crate::client::{Client, call, payload};
use crate::shape::{LAST, Service};
use crate::watch::Watch;

pub(crate) fn run(
    service: &Service,
    calls: &Calls,
    warm_up: Duration,
    seconds: Duration,
) -> Result<Report, Box<dyn Error>> {
    let mut clients = (0..calls.sockets).map(|_| Client::open(service)).collect::<Result<Vec<_>, _>>()?;
    let (echo, last) = (call("echo", &payload(calls.payload)), call(LAST, "null"));
    let mut answers = 0;
    for (one, times) in [(&echo, calls.in_flight), (&last, 1)] {
        let client = clients.first_mut().ok_or("the number of sockets must be at least 1")?;
        client.send(one)?;
        answers += client.receive()?.len() * times;
    }
    let burst = [echo.repeat(calls.in_flight), last].concat();
    let mut round = |watch: &mut Watch| -> Result<(), Box<dyn Error>> {
        let hold = service.hold();
        for client in &mut clients {
            client.send(&burst)?;
        }
        let ended = service.ends.expect(clients.len());
        watch.time(calls.sockets * calls.in_flight, || -> Result<Instant, Box<dyn Error>> {
            hold.release();
            Ok(ended.recv_timeout(Duration::from_secs(30))?)
        })?;
        clients.iter_mut().try_for_each(|client| client.drain(answers))
    };
    let start = Instant::now();
    while start.elapsed() < warm_up {
        round(&mut Watch::default())?;
    }
    let mut watch = Watch::default();
    while watch.wall() < seconds {
        round(&mut watch)?;
    }
    Ok(watch.report("calls"))
}
