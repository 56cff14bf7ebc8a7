//! Channels with history: what was missed comes first, or the reader is told.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokensocket_client::{
    Error, HistoryQuery, Position, PresenceQuery, PublishOptions, SubscribeOptions, Subscription,
    SubscriptionError, TokenSocket,
};
use tokio::sync::mpsc;

use crate::peer::{Connection, Peer, soon};

impl Connection {
    /// Confirms the next message, which must be a subscribe, with fields of its own. Gives its request.
    async fn join(&mut self, fields: &Value) -> Value {
        let mut message = self.receive().await;
        assert_eq!(message["rpc"], "_subscribe");
        message["channel"] = message["req"]["channel"].clone();
        let request = message["req"].take();
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.send(&json!({ "internal": true, "command": "subscribe", "data": message })).await;
        request
    }

    async fn offset(&mut self, channel: &str, offset: u64) {
        self.send(&json!({ "channel": channel, "message": offset, "offset": offset })).await;
    }
}

async fn follow(socket: &TokenSocket, connection: &mut Connection, offset: u64) -> Subscription<u64> {
    let joined = json!({ "epoch": "e", "offset": offset });
    let both = async { tokio::join!(socket.subscribe("c"), connection.join(&joined)) };
    soon(both).await.0.unwrap().typed()
}

fn past(offsets: std::ops::RangeInclusive<u64>) -> Value {
    offsets.map(|offset| json!({ "offset": offset, "message": offset })).collect()
}

fn position(epoch: &str, offset: u64) -> Position {
    serde_json::from_value(json!({ "epoch": epoch, "offset": offset })).unwrap()
}

#[tokio::test]
async fn what_was_missed_comes_first_however_much_it_is() {
    let mut peer = Peer::start().await;
    let socket = peer.builder().subscription_buffer(2, 1000).connect().unwrap();
    let mut first = peer.let_in().await;
    let mut news = follow(&socket, &mut first, 1).await;
    let (told, mut recovered) = mpsc::unbounded_channel();
    let listener = told.clone();
    socket.on_recovered(move |channel| drop(listener.send(channel.to_owned())));
    socket.on_message(move |_, data| drop(told.send(data.to_string())));
    first.offset("c", 2).await;
    assert_eq!(soon(news.next()).await, Some(Ok(2)));
    drop(first);
    let mut second = peer.let_in().await;
    let joined = json!({ "epoch": "e", "offset": 7, "recovered": true, "publications": past(3..=7) });
    let request = second.join(&joined).await;
    assert_eq!(request, json!({ "channel": "c", "recover": { "epoch": "e", "offset": 2 } }));
    second.offset("c", 7).await;
    second.offset("c", 8).await;
    for number in 3..=8 {
        assert_eq!(soon(news.next()).await, Some(Ok(number)), "once, and not dropped by the small buffer");
    }
    for expected in ["2", "3", "4", "5", "6", "7", "c", "8"] {
        assert_eq!(soon(recovered.recv()).await.as_deref(), Some(expected), "listeners hear it in order");
    }
}

#[tokio::test]
async fn what_is_lost_is_told_in_its_place() {
    let mut peer = Peer::start().await;
    let (socket, mut first) = peer.pair().await;
    let mut news = follow(&socket, &mut first, 1).await;
    let (told, mut unrecovered) = mpsc::unbounded_channel();
    socket.on_unrecovered(move |channel| drop(told.send(channel.to_owned())));
    first.offset("c", 2).await;
    let _ = soon(first.0.close(None)).await;
    let mut second = peer.let_in().await;
    second.join(&json!({ "epoch": "f", "offset": 4, "recovered": false })).await;
    second.offset("c", 5).await;
    assert_eq!(soon(news.next()).await, Some(Ok(2)));
    assert_eq!(soon(news.next()).await, Some(Err(SubscriptionError::Unrecovered)));
    assert_eq!(soon(news.next()).await, Some(Ok(5)));
    assert_eq!(soon(unrecovered.recv()).await.as_deref(), Some("c"));
}

#[tokio::test]
async fn two_readers_of_one_channel_both_get_what_was_missed() {
    let mut peer = Peer::start().await;
    let (socket, mut first) = peer.pair().await;
    let mut one = follow(&socket, &mut first, 1).await;
    let mut other = follow(&socket, &mut first, 1).await;
    drop(first);
    let mut second = peer.let_in().await;
    second.join(&json!({ "epoch": "e", "offset": 2, "recovered": true, "publications": past(2..=2) })).await;
    assert_eq!(soon(one.next()).await, Some(Ok(2)));
    assert_eq!(soon(other.next()).await, Some(Ok(2)));
}

#[tokio::test]
async fn a_reader_of_a_pattern_gets_what_it_covers() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let joined = json!({ "pattern": true });
    let both = async { tokio::join!(socket.subscribe("news.>"), connection.join(&joined)) };
    let mut news = soon(both).await.0.unwrap().typed::<u64>();
    connection.offset("other", 1).await;
    connection.offset("news.sport", 2).await;
    assert_eq!(soon(news.next()).await, Some(Ok(2)));
}

#[tokio::test]
async fn history_is_read_and_followed_from_where_it_was_read() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let query = HistoryQuery::new().since(position("e", 1)).limit(10);
    let (page, ()) = soon(async {
        tokio::join!(socket.history("c", query), async {
            let request = connection.receive().await;
            let expected = json!({ "channel": "c", "since": { "epoch": "e", "offset": 1 }, "limit": 10 });
            assert_eq!((&request["rpc"], &request["req"]), (&json!("_history"), &expected));
            let kept = json!([{ "offset": 2, "message": "a", "at": 5 }]);
            let resp = json!({ "epoch": "e", "offset": 2, "publications": kept });
            connection.answer(&request, &json!({ "resp": resp })).await;
        })
    })
    .await;
    let page = page.unwrap();
    assert_eq!((&page.position, page.gap, page.more), (&position("e", 2), false, false));
    assert_eq!((page.publications[0].offset, page.publications[0].message.as_str()), (2, "\"a\""));

    let options = SubscribeOptions::new().since(page.position);
    let joined = json!({ "epoch": "e", "offset": 3, "recovered": true, "publications": past(3..=3) });
    let both = async { tokio::join!(socket.subscribe_with("c", options), connection.join(&joined)) };
    let (news, request) = soon(both).await;
    assert_eq!(request["recover"], json!({ "epoch": "e", "offset": 2 }));
    assert_eq!(soon(news.unwrap().typed::<u64>().next()).await, Some(Ok(3)));
}

#[tokio::test]
async fn a_publisher_learns_where_its_publication_stands() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let options = PublishOptions::new().key("k1");
    let (published, ()) = soon(async {
        tokio::join!(socket.publish_with("c", &5, options), async {
            let request = connection.receive().await;
            assert_eq!(request["req"], json!({ "channel": "c", "data": 5, "key": "k1" }));
            let resp = json!({ "epoch": "e", "offset": 9, "duplicate": true });
            connection.answer(&request, &json!({ "resp": resp })).await;
        })
    })
    .await;
    let published = published.unwrap();
    assert_eq!((published.position, published.duplicate), (Some(position("e", 9)), true));
}

#[tokio::test]
async fn presence_is_read_and_followed() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let left = told.clone();
    socket.on_join(move |channel, member| drop(told.send(format!("{channel} + {}", member.client))));
    socket.on_leave(move |channel, member| drop(left.send(format!("{channel} - {:?}", member.user))));
    let joined = json!({});
    let options = SubscribeOptions::new().presence();
    let both = async { tokio::join!(socket.subscribe_with("c", options), connection.join(&joined)) };
    let (subscription, request) = soon(both).await;
    let _subscription = subscription.unwrap();
    assert_eq!(request["presence"], true);
    let member = json!({ "client": "s1", "user": "8", "info": { "name": "Ada" }, "since": 3 });
    for command in ["join", "leave"] {
        let data = json!({ "channel": "c", "member": member });
        connection.send(&json!({ "internal": true, "command": command, "data": data })).await;
    }
    assert_eq!(soon(heard.recv()).await.as_deref(), Some("c + s1"));
    assert_eq!(soon(heard.recv()).await.as_deref(), Some("c - Some(\"8\")"));
    let (members, ()) = soon(async {
        tokio::join!(socket.presence("c", PresenceQuery::new().limit(1).after("s0")), async {
            let request = connection.receive().await;
            assert_eq!(request["req"], json!({ "channel": "c", "limit": 1, "after": "s0" }));
            let resp = json!({ "clients": 3, "users": 2, "members": [member], "more": true });
            connection.answer(&request, &json!({ "resp": resp })).await;
        })
    })
    .await;
    let members = members.unwrap();
    assert_eq!((members.clients, members.users, members.more), (3, 2, true));
    assert_eq!(members.members[0].info.as_str(), r#"{"name":"Ada"}"#);
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let (page, ()) = soon(async {
        tokio::join!(socket.history("c", HistoryQuery::new()), async {
            let request = connection.receive().await;
            connection.answer(&request, &json!({ "resp": "success" })).await;
        })
    })
    .await;
    assert!(matches!(page, Err(Error::Decode(_))));
}
