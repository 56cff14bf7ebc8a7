//! Deliveries to a device: handled in order, acknowledged once they are handled, not handed over twice.

use std::sync::Arc;

use serde_json::{Value, json};
use tokensocket_client::{BuildError, Delivery, RawJson, Resync, TokenSocket};
use tokio::sync::{Semaphore, mpsc};

use crate::peer::{Connection, Peer, soon};

impl Connection {
    async fn internal(&mut self, command: &str, data: Value) {
        self.send(&json!({ "internal": true, "command": command, "data": data })).await;
    }

    async fn greet(&mut self) {
        let settings = json!({ "device_ttl": 60, "device": "phone", "epoch": "1", "resumed": true });
        self.internal("settings", settings).await;
    }

    async fn deliver(&mut self, id: u64, event: &str) {
        self.internal("deliver", json!({ "id": id, "event": event, "args": [id] })).await;
    }

    async fn batch(&mut self, ids: &[u64]) {
        let item = |id| json!({ "id": id, "event": "e", "args": [id] });
        let items: Vec<Value> = ids.iter().map(item).collect();
        self.internal("batch", json!({ "id": ids.last(), "items": items })).await;
    }

    /// The next message, which must be an acknowledgement, is answered.
    async fn acknowledged(&mut self) -> Value {
        let message = self.receive().await;
        assert_eq!(message["rpc"], "_ack");
        self.answer(&message, &json!({ "resp": "success" })).await;
        message["req"].clone()
    }
}

/// Handles the event `e`: what it is told, it sends here.
fn listen(socket: &TokenSocket) -> mpsc::UnboundedReceiver<u64> {
    let (told, heard) = mpsc::unbounded_channel();
    socket.on_delivery("e", move |(number,): (u64,)| {
        let told = told.clone();
        async move { told.send(number).map_err(|_| "nobody hears") }
    });
    heard
}

async fn greeted(peer: &mut Peer) -> (TokenSocket, Connection) {
    let (socket, mut connection) = peer.pair().await;
    connection.greet().await;
    (socket, connection)
}

#[tokio::test]
async fn the_device_is_named() {
    let mut peer = Peer::start().await;
    let _socket = peer.builder().device("phone").connect().unwrap();
    let auth = peer.connection().await.receive().await;
    assert_eq!(auth["client"]["device"], "phone");
    for wrong in [String::new(), "x".repeat(129)] {
        let socket = peer.builder().device(wrong).connect();
        assert!(matches!(socket, Err(BuildError::Device)));
    }
}

#[tokio::test]
async fn what_is_delivered_is_handled_and_then_acknowledged() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let (settings, mut heard_settings) = mpsc::unbounded_channel();
    let batches = settings.clone();
    socket.on_settings(move |told| drop(settings.send(told.device.clone())));
    socket.on_batch(move |deliveries| drop(batches.send(deliveries.to_string())));
    let mut heard = listen(&socket);
    connection.greet().await;
    connection.batch(&[1, 2]).await;
    connection.deliver(3, "e").await;
    assert_eq!(connection.acknowledged().await, json!({ "batch": 2 }));
    assert_eq!(connection.acknowledged().await, json!({ "id": 3 }));
    for number in 1..=3 {
        assert_eq!(heard.try_recv(), Ok(number));
    }
    assert_eq!(soon(heard_settings.recv()).await.as_deref(), Some("phone"));
    assert_eq!(soon(heard_settings.recv()).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_lost_acknowledgement_hands_nothing_over_twice() {
    let mut peer = Peer::start().await;
    let (socket, mut first) = greeted(&mut peer).await;
    let mut heard = listen(&socket);
    first.deliver(1, "e").await;
    assert_eq!(first.receive().await["rpc"], "_ack");
    drop(first);
    let mut second = peer.let_in().await;
    second.greet().await;
    second.batch(&[1, 2]).await;
    assert_eq!(second.acknowledged().await, json!({ "batch": 2 }));
    assert_eq!((heard.try_recv(), heard.try_recv()), (Ok(1), Ok(2)));
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn handlers_run_one_after_the_other_in_order() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = greeted(&mut peer).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    for event in ["slow", "fast"] {
        let (told, gate) = (told.clone(), Arc::clone(&gate));
        socket.on_delivery(event, move |args: RawJson| {
            let (told, gate) = (told.clone(), Arc::clone(&gate));
            async move {
                let _ = told.send(format!("{event} {args}"));
                if event == "slow" {
                    gate.acquire().await.map_err(|error| error.to_string())?.forget();
                }
                Ok::<_, String>(())
            }
        });
    }
    connection.deliver(1, "slow").await;
    connection.deliver(2, "fast").await;
    assert_eq!(soon(heard.recv()).await.as_deref(), Some("slow [1]"));
    // The client still talks meanwhile.
    let (answer, ()) = soon(async {
        tokio::join!(async { socket.rpc::<u8>("a", &1).await }, async {
            let call = connection.receive().await;
            assert_eq!(call["rpc"], "a", "nothing is acknowledged yet");
            connection.answer(&call, &json!({ "resp": 7 })).await;
        })
    })
    .await;
    assert_eq!(answer.unwrap(), 7);
    assert!(heard.try_recv().is_err());
    gate.add_permits(1);
    assert_eq!(connection.acknowledged().await, json!({ "id": 1 }));
    assert_eq!(soon(heard.recv()).await.as_deref(), Some("fast [2]"));
    assert_eq!(connection.acknowledged().await, json!({ "id": 2 }));
}

#[tokio::test]
async fn what_has_no_handler_waits_for_one_and_holds_up_nobody() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = greeted(&mut peer).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    connection.deliver(1, "late").await;
    connection.deliver(2, "late").await;
    connection.deliver(3, "e").await;
    let mut others = listen(&socket);
    assert_eq!(connection.acknowledged().await, json!({ "id": 3 }));
    assert_eq!(soon(others.recv()).await, Some(3));
    socket.on_delivery("late", move |(number,): (u64,)| {
        let told = told.clone();
        async move { told.send(number).map_err(|_| "nobody hears") }
    });
    assert_eq!(connection.acknowledged().await, json!({ "id": 1 }));
    assert_eq!(connection.acknowledged().await, json!({ "id": 2 }));
    assert_eq!((heard.try_recv(), heard.try_recv()), (Ok(1), Ok(2)));
}

#[tokio::test]
async fn what_fails_is_kept_and_comes_again() {
    let mut peer = Peer::start().await;
    let (socket, mut first) = greeted(&mut peer).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let handler = told.clone();
    socket.on_delivery("e", move |(number,): (u64,)| {
        let told = handler.clone();
        async move {
            let _ = told.send(number);
            assert!(number != 2, "this one panics");
            if number == 1 { Err("this one fails") } else { Ok(()) }
        }
    });
    socket.on_delivery("f", move |_: String| async move { Ok::<_, String>(()) });
    first.deliver(1, "e").await;
    first.deliver(2, "e").await;
    first.deliver(3, "f").await;
    first.deliver(4, "e").await;
    assert_eq!(first.acknowledged().await, json!({ "id": 4 }));
    assert_eq!((heard.try_recv(), heard.try_recv(), heard.try_recv()), (Ok(1), Ok(2), Ok(4)));
    drop(first);
    socket.on_delivery("e", move |(number,): (u64,)| {
        let told = told.clone();
        async move { told.send(number).map_err(|_| "nobody hears") }
    });
    let mut second = peer.let_in().await;
    second.greet().await;
    second.batch(&[1, 2, 3]).await;
    assert_eq!(second.acknowledged().await, json!({ "batch": 3 }));
    for number in 1..=3 {
        assert_eq!(heard.try_recv(), Ok(number));
    }
}

#[tokio::test]
async fn by_hand_it_is_acknowledged_whenever_the_user_likes() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = greeted(&mut peer).await;
    let (told, mut heard) = mpsc::unbounded_channel::<Delivery>();
    let handler = socket.on_delivery_by_hand("e", move |delivery| {
        assert!(delivery.args().as_str() != "[3]", "this one panics");
        let _ = told.send(delivery);
    });
    for id in 1..=4 {
        connection.deliver(id, "e").await;
    }
    let [one, two, four] = [soon(heard.recv()).await, soon(heard.recv()).await, soon(heard.recv()).await];
    assert_eq!(one.as_ref().unwrap().event(), "e");
    two.unwrap().acknowledge();
    assert_eq!(connection.acknowledged().await, json!({ "id": 2 }));
    drop(one);
    four.unwrap().acknowledge();
    assert_eq!(connection.acknowledged().await, json!({ "id": 4 }), "what is dropped is not acknowledged");
    handler.remove();
    handler.remove();
    connection.deliver(5, "e").await;
    let mut heard = listen(&socket);
    assert_eq!(connection.acknowledged().await, json!({ "id": 5 }));
    assert_eq!(heard.try_recv(), Ok(5));
    drop(connection);
    let mut connection = peer.let_in().await;
    connection.greet().await;
    connection.batch(&[1, 3]).await;
    assert_eq!(connection.acknowledged().await, json!({ "batch": 3 }));
    assert_eq!((heard.try_recv(), heard.try_recv()), (Ok(1), Ok(3)));
}

#[tokio::test]
async fn a_resync_has_its_turn_and_waits_for_its_handler() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = greeted(&mut peer).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let (deliveries, open) = (told.clone(), Arc::clone(&gate));
    socket.on_delivery("e", move |(number,): (u64,)| {
        let (told, gate) = (deliveries.clone(), Arc::clone(&open));
        async move {
            gate.acquire().await.map_err(|error| error.to_string())?.forget();
            told.send(number.to_string()).map_err(|error| error.to_string())
        }
    });
    connection.internal("resync", json!({ "id": 1, "reason": "lost" })).await;
    connection.deliver(1, "e").await;
    connection.deliver(2, "e").await;
    gate.add_permits(2);
    for id in 1..=2 {
        assert_eq!(connection.acknowledged().await, json!({ "id": id }), "nobody handles resyncs");
    }
    socket.on_resync(move |Resync { event, reason }| {
        let told = told.clone();
        async move { told.send(format!("{event:?} {reason:?}")).map_err(|_| "nobody hears") }
    });
    assert_eq!(connection.acknowledged().await, json!({ "resync": 1 }));
    connection.deliver(3, "e").await;
    connection.internal("resync", json!({ "id": 2, "event": "e", "reason": "overflow" })).await;
    connection.deliver(4, "e").await;
    gate.add_permits(2);
    for acknowledged in [json!({ "id": 3 }), json!({ "resync": 2 }), json!({ "id": 4 })] {
        assert_eq!(connection.acknowledged().await, acknowledged);
    }
    for expected in ["1", "2", "None Lost", "3", "Some(\"e\") Overflow", "4"] {
        assert_eq!(heard.try_recv().as_deref(), Ok(expected));
    }
}

#[tokio::test]
async fn what_was_handled_when_the_client_ends_is_acknowledged() {
    // Which of the two the client hears of first is a matter of chance.
    for _ in 0..16 {
        let mut peer = Peer::start().await;
        let (socket, mut connection) = greeted(&mut peer).await;
        let handle = socket.clone();
        socket.on_delivery("e", move |_: RawJson| {
            let handle = handle.clone();
            async move {
                tokio::spawn(async move { handle.end().await });
                Ok::<_, String>(())
            }
        });
        connection.deliver(1, "e").await;
        let message = connection.receive().await;
        assert_eq!((&message["rpc"], &message["req"]), (&json!("_ack"), &json!({ "id": 1 })));
        assert_eq!(connection.closed().await, Some(1000));
        drop(connection);
        soon(socket.end()).await;
    }
}

#[tokio::test]
async fn ending_stops_the_handler_that_runs() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = greeted(&mut peer).await;
    let (started, mut starts) = mpsc::channel(1);
    let (held, mut gone) = mpsc::channel::<()>(1);
    let held = Arc::new(parking_lot::Mutex::new(Some(held)));
    socket.on_delivery("e", move |_: RawJson| {
        let (started, held) = (started.clone(), held.lock().take());
        async move {
            let _held = held;
            let _ = started.send(()).await;
            std::future::pending::<Result<(), String>>().await
        }
    });
    connection.deliver(1, "e").await;
    soon(starts.recv()).await.unwrap();
    soon(async { tokio::join!(socket.end(), connection.closed()) }).await;
    assert!(soon(gone.recv()).await.is_none());
}
