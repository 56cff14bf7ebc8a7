//! One step: something that somebody wants, or that goes wrong.

use std::time::Duration;

use tokensocket_protocol::Channel;
use tokensocket_server::{DeliverOptions, To};
use tokio::time::sleep;

use super::Story;
use crate::client::Wish;
use crate::ledger::keeps;
use crate::network::Fault;

/// What may happen, with how often.
const STEPS: [(u32, Step); 22] = [
    (10, Step::Call),
    (8, Step::Subscribe),
    (3, Step::Unsubscribe),
    (10, Step::ClientPublishes),
    (10, Step::ServerPublishes),
    (1, Step::ClientBroadcasts),
    (1, Step::ServerBroadcasts),
    (4, Step::ServerCalls),
    (14, Step::ServerDelivers),
    (1, Step::DiskFills),
    (2, Step::EngineGoes),
    (2, Step::EngineComes),
    (2, Step::Cancel),
    (1, Step::Stall),
    (1, Step::Wake),
    (3, Step::Cut),
    (1, Step::Silence),
    (1, Step::ClientRestarts),
    (1, Step::ClientComes),
    (1, Step::ServerCrashes),
    (1, Step::ServerShutsDown),
    (4, Step::ServerStarts),
];

#[derive(Clone, Copy)]
enum Step {
    Call,
    Subscribe,
    Unsubscribe,
    ClientPublishes,
    ServerPublishes,
    ClientBroadcasts,
    ServerBroadcasts,
    ServerCalls,
    ServerDelivers,
    DiskFills,
    EngineGoes,
    EngineComes,
    Cancel,
    Stall,
    Wake,
    Cut,
    Silence,
    ClientRestarts,
    ClientComes,
    ServerCrashes,
    ServerShutsDown,
    ServerStarts,
}

impl Story {
    fn draw(&mut self) -> Step {
        let all = STEPS.iter().map(|(weight, _)| weight).sum();
        let mut at = self.random.u32(0..all);
        for (weight, step) in STEPS {
            if at < weight {
                return step;
            }
            at -= weight;
        }
        Step::Call
    }

    fn channel(&mut self) -> Channel {
        let at = self.random.usize(0..self.world.channels.len());
        self.world.channels[at].clone()
    }

    fn wish(&mut self, wish: Wish) {
        let at = self.random.usize(0..self.clients.len());
        self.clients[at].wish(wish);
    }

    /// Lets some time pass, or none, and does something.
    pub(super) async fn step(&mut self) {
        let pause = match self.random.u8(0..10) {
            0..=3 => 0,
            4..=8 => self.random.u64(0..100),
            _ => self.random.u64(0..4_000),
        };
        sleep(Duration::from_millis(pause)).await;
        let number = self.world.next_number();
        match self.draw() {
            Step::Call => {
                let path = ["echo", "echo", "slow", "fail", "nothing"][self.random.usize(0..5)];
                let short = self.random.u8(0..5) == 0;
                let timeout = short.then(|| Duration::from_millis(self.random.u64(1..500)));
                self.wish(Wish::Call { path, number, timeout });
            }
            Step::Subscribe => {
                let channel = self.channel();
                self.wish(Wish::Subscribe(channel));
            }
            Step::Unsubscribe => {
                let channel = self.channel();
                self.wish(Wish::Unsubscribe(channel));
            }
            Step::ClientPublishes => {
                let channel = self.channel();
                let keyed = self.random.bool() && keeps(channel.as_str());
                self.wish(Wish::Publish { channel, number, keyed });
            }
            Step::ClientBroadcasts => self.wish(Wish::Broadcast { number }),
            Step::Cancel => self.wish(Wish::Cancel),
            Step::Stall => {
                let time = Duration::from_millis(self.random.u64(0..3_000));
                self.wish(Wish::Stall(time));
            }
            Step::Wake => self.wish(Wish::Wake),
            Step::Cut => self.world.network.strike(Fault::Cut),
            Step::Silence => self.world.network.strike(Fault::Silence),
            Step::ClientRestarts => {
                let at = self.random.usize(0..self.clients.len());
                let client = self.clients.remove(at);
                let owner = client.owner.clone();
                client.kill(&self.world);
                self.start_client(owner);
            }
            Step::ClientComes => {
                let owner = self.clients[self.random.usize(0..self.clients.len())].owner.clone();
                if self.clients.len() < 8 {
                    self.start_client(owner);
                }
            }
            Step::ServerPublishes => self.server_publishes(number),
            Step::ServerBroadcasts => self.server_broadcasts(number),
            Step::ServerCalls => self.server_calls(number),
            Step::ServerDelivers => {
                for _ in 0..self.random.usize(1..4) {
                    self.server_delivers();
                }
            }
            Step::DiskFills => {
                let full = self.random.bool();
                if let Some(disk) = &self.keeping.disk {
                    disk.fill(full);
                }
            }
            Step::EngineGoes => {
                if let Some(server) = &self.server {
                    self.world.trace.note(format_args!("the server hears nothing of channels that are kept"));
                    server.hearing.lose();
                }
            }
            Step::EngineComes => {
                let tells = self.random.bool();
                if let Some(server) = &self.server {
                    self.world.trace.note(format_args!("it hears of them again, and is told so: {tells}"));
                    server.hearing.find(tells);
                }
            }
            Step::ServerCrashes => {
                if let Some(server) = self.server.take() {
                    server.crash(&self.world);
                }
            }
            Step::ServerShutsDown => {
                if let Some(server) = self.server.take() {
                    server.shut_down(&self.world).await;
                }
            }
            Step::ServerStarts => self.start_server(),
        }
    }

    fn server_publishes(&mut self, number: u64) {
        let channel = self.channel();
        let world = self.world.clone();
        let Some(process) = &mut self.server else { return };
        let server = process.server.clone();
        world.trace.note(format_args!("the server publishes {number} on {channel}"));
        process.spawn(async move {
            if server.publish(&channel, number).await.is_ok() {
                world.ledger.lock().published(channel.as_str(), number);
            }
        });
    }

    fn server_broadcasts(&mut self, number: u64) {
        let world = self.world.clone();
        let Some(process) = &mut self.server else { return };
        let server = process.server.clone();
        world.trace.note(format_args!("the server broadcasts {number}"));
        process.spawn(async move {
            if let Err(error) = server.broadcast(number).await {
                world.trace.note(format_args!("a broadcast failed: {error}"));
            }
        });
    }

    fn server_delivers(&mut self) {
        let world = self.world.clone();
        let Some(process) = &mut self.server else { return };
        let server = process.server.clone();
        let number = world.next_number();
        let (one, other) = (self.random.u8(0..3), self.random.u8(0..3));
        let to = match self.random.u8(0..10) {
            0..=4 => To::user(format!("user.{one}")),
            5..=6 => To::users([format!("user.{one}"), format!("user.{other}")]),
            7 => To::room(format!("room.{}", one % 2)),
            8 => To::rooms([format!("room.{}", one % 2), format!("room.{}", other % 2)]),
            _ => To::everyone(),
        };
        let (event, resync) = if self.random.bool() { ("note", false) } else { ("state", true) };
        world.trace.note(format_args!("the server delivers {number} as {event} to {to:?}"));
        process.spawn(async move {
            let delivered = server.deliver(to, event, number, DeliverOptions::new().resync(resync)).await;
            world.trace.note(format_args!("the delivery of {number}: {delivered:?}"));
        });
    }

    fn server_calls(&mut self, number: u64) {
        let world = self.world.clone();
        let Some(process) = &mut self.server else { return };
        let mut sockets = process.server.sockets();
        if sockets.is_empty() {
            return;
        }
        let socket = sockets.swap_remove(self.random.usize(0..sockets.len()));
        world.trace.note(format_args!("the server calls {} with {number}", socket.id()));
        process.spawn(async move {
            let answer = socket.rpc::<u64>("number", number).await;
            world.ledger.lock().called_back(number, answer.ok());
        });
    }
}
