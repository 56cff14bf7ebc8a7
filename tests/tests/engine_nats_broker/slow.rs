//! A node that takes more slowly than others publish.

use std::sync::{Arc, Mutex, Weak};

use tokensocket_server::{
    Broker, BrokerHandler, Channel, Control, Gap, Nats, NatsBroker, NatsOptions, NodeId, Publication,
    Publish, RawJson,
};
use tokensocket_tests::engine;

use crate::node::{Node, channel, publish, until};

/// Of what size publications are, and how many: twice as many bytes as a node holds of what it has not taken yet.
const SIZE: usize = 256 << 10;
const COUNT: usize = 512;

/// Takes something while nobody has the gate.
#[derive(Default)]
struct Slow {
    gate: Mutex<()>,
    came: Mutex<Vec<usize>>,
    gaps: Mutex<Vec<(Gap, usize)>>,
}

impl BrokerHandler for Slow {
    fn handle_publication(&self, publication: &Publication) {
        drop(tokio::task::block_in_place(|| self.gate.lock().unwrap()));
        self.came.lock().unwrap().push(publication.message.as_bytes().len());
    }

    fn handle_broadcast(&self, _: &RawJson) {}

    fn handle_control(&self, _: Control) {}

    fn handle_announcement(&self, _: &Channel, _: &RawJson) {}

    fn handle_gap(&self, gap: Gap) {
        let came = self.came.lock().unwrap().len();
        self.gaps.lock().unwrap().push((gap, came));
    }

    fn follows(&self, _: &Channel) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_faster_than_it_is_taken_is_bounded_by_its_bytes_and_told() {
    let server = engine::Nats::start().await;
    let one = Node::new(&server.url()).await;
    let nats = Nats::connect(&server.url(), NatsOptions::new()).await.unwrap();
    let (broker, slow) = (NatsBroker::new(&nats), Arc::new(Slow::default()));
    broker.start(NodeId::random().unwrap(), Arc::downgrade(&slow) as Weak<dyn BrokerHandler>).unwrap();
    broker.subscribe(&channel("a")).await.unwrap();
    let large = RawJson::new(&"x".repeat(SIZE)).unwrap();
    {
        let closed = slow.gate.lock().unwrap();
        let publishing = async {
            for _ in 0..COUNT {
                one.broker
                    .publish(Publish { message: large.clone(), ..publish("a", 0, None) })
                    .await
                    .unwrap();
            }
            // The server has given all of it to the slow one when this comes back.
            broker.publish(publish("b", 0, None)).await.unwrap();
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(publishing));
        drop(closed);
    }
    until("a gap that is told", || !slow.gaps.lock().unwrap().is_empty()).await;
    let (gap, came) = slow.gaps.lock().unwrap()[0].clone();
    assert_eq!(gap, Gap::All);
    assert!((1..COUNT).contains(&came), "{came}");
    one.broker.publish(publish("a", 7, None)).await.unwrap();
    until("what comes behind it", || slow.came.lock().unwrap().last() == Some(&1)).await;
}
