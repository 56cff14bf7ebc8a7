//! Several nodes: who is there, what all of them have, and what is done on all of them at once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, ChannelQuery, Close, Control, Engine, NodeId, Publication,
    RawJson, SocketId, SocketQuery, Token,
};
use tokensocket_tests::bus::{Bus, Cluster, Seat};
use tokensocket_tests::device::{builder, connect_with};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::wire::Client;
use tokio::sync::mpsc;

async fn client(cluster: &Cluster, node: usize, query: &str) -> Client {
    connect_with(&cluster.nodes[node], query, None, &[]).await
}

#[tokio::test]
async fn nodes_know_each_other_and_what_they_say_of_themselves() {
    let mut cluster = Cluster::start(2, builder).await;
    let mut ann = client(&cluster, 1, "user=ann").await;
    ann.subscribe("news").await;
    until("the other to hear of the socket", || {
        cluster.server(0).nodes().iter().any(|node| (node.sockets, node.channels) == (1, 1))
    })
    .await;
    let nodes = cluster.server(0).nodes();
    let other = &nodes[1];
    assert_eq!((&*other.name, other.id), ("node-1", cluster.server(1).this_node().id));
    assert!(cluster.socket(1).is_of(other.id) && !cluster.socket(1).is_of(nodes[0].id));
    assert!(!other.version.is_empty() && other.began.0 > 1_600_000_000_000 && !other.draining);
    assert!((0.0..=1.0).contains(&other.load));

    // One more, which is told at once, and does not wait for the others' next word.
    cluster.join(builder()).await;
    until("the newcomer to know all", || cluster.names(2) == ["node-0", "node-1", "node-2"]).await;
    cluster.knows_itself().await;
}

#[tokio::test]
async fn a_node_that_ends_says_so() {
    // Rarer than the test waits: what others know of it they were told, and did not find out.
    let rarely = Duration::from_hours(1);
    let cluster = Cluster::start_with(rarely, 3, || builder().shutdown_timeout(rarely)).await;
    let mut ann = client(&cluster, 2, "user=ann").await;
    let calling = {
        let socket = cluster.server(2).sockets().pop().unwrap();
        tokio::spawn(async move { socket.rpc::<u8>("wait", ()).await })
    };
    let (fid, ..) = ann.called().await;
    let server = cluster.server(2).clone();
    let ending = tokio::spawn(async move { server.shutdown().await });
    until("the others to hear that it drains", || {
        cluster.server(0).nodes().iter().any(|node| &*node.name == "node-2" && node.draining)
    })
    .await;
    ann.reply(&fid, json!({ "data": 1 })).await;
    assert_eq!(calling.await.unwrap().unwrap(), 1);
    let _ = ann.drain().await;
    within("the end", ending).await.unwrap();
    until("the others to hear that it ended", || cluster.names(0) == ["node-0", "node-1"]).await;
    until("the other, too", || cluster.names(1) == ["node-0", "node-1"]).await;
}

#[tokio::test]
async fn a_node_that_dies_in_silence_is_found_out() {
    let cluster = Cluster::start(3, builder).await;
    let began = Instant::now();
    cluster.seats[2].die();
    assert_eq!(cluster.names(0).len(), 3, "nobody knows yet");
    until("the others to miss it", || cluster.names(0).len() == 2 && cluster.names(1).len() == 2).await;
    assert!(began.elapsed() > Duration::from_millis(600), "one word may be missed");
}

#[tokio::test]
async fn a_node_that_is_cut_off_counts_those_whom_it_cannot_ask_and_comes_back() {
    let cluster = Cluster::start(3, builder).await;
    let _client = client(&cluster, 1, "user=ann").await;
    cluster.seats[1].cut();
    until("the others to miss it", || cluster.names(0).len() == 2 && cluster.names(2).len() == 2).await;
    // As long again: it is not about to forget them either.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        // Nothing was asked, so nothing is waited for.
        let survey = cluster.server(1).survey().within(Duration::from_hours(1));
        let alone = within("the survey of one who is alone", survey.counts()).await.unwrap();
        assert_eq!((alone.answered, alone.asked, alone.value.sockets), (1, 3, 1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One of them dies meanwhile, which it finds out when it is back.
    cluster.seats[2].die();
    cluster.seats[1].mend();
    until("all to know who is left", || {
        [0, 1].iter().all(|node| cluster.names(*node) == ["node-0", "node-1"])
    })
    .await;
    let found = cluster.server(1).survey().counts().await.unwrap();
    assert_eq!((found.answered, found.asked), (2, 2));
}

#[tokio::test]
async fn a_survey_finds_sockets_of_all_nodes_page_by_page() {
    let cluster = Cluster::start(3, builder).await;
    let mut clients = Vec::new();
    for n in 0..7 {
        let user = if n % 2 == 0 { "user=ann" } else { "user=bob" };
        let mut one = client(&cluster, n % 3, user).await;
        one.subscribe(if n < 5 { "news" } else { "other" }).await;
        clients.push(one);
    }
    let mut expected: Vec<SocketId> =
        (0..3).flat_map(|node| cluster.server(node).sockets()).map(|socket| socket.id()).collect();
    expected.sort_unstable();
    let (mut seen, mut query) = (Vec::new(), SocketQuery::new().limit(2));
    loop {
        let found = cluster.server(0).survey().sockets(query.clone()).await.unwrap();
        assert_eq!((found.answered, found.asked), (3, 3));
        assert!(found.value.items.len() <= 2);
        seen.extend(found.value.items.iter().map(|socket| socket.id));
        if !found.value.more {
            break;
        }
        query = query.after(*seen.last().unwrap());
    }
    assert_eq!(seen, expected);

    let news = Channel::new("news").unwrap();
    let of_ann = SocketQuery::new().user("ann").channel(&news);
    let found = cluster.server(1).survey().sockets(of_ann).await.unwrap().value;
    assert_eq!((found.items.len(), found.more), (3, false));
    for socket in &found.items {
        assert_eq!((socket.user.as_deref(), &socket.channels[..]), (Some("ann"), &[news.clone()][..]));
        assert!(socket.authenticated && socket.id.is_of(socket.node));
    }

    let channels = cluster.server(2).survey().channels(ChannelQuery::new()).await.unwrap().value;
    let counted: Vec<_> = channels.items.iter().map(|one| (one.channel.as_str(), one.sockets)).collect();
    assert_eq!(counted, [("news", 5), ("other", 2)]);
    let first = cluster.server(2).survey().channels(ChannelQuery::new().limit(1)).await.unwrap().value;
    assert_eq!((first.items.len(), first.items[0].sockets, first.more), (1, 5, true));

    let totals = cluster.server(0).survey().counts().await.unwrap().value;
    assert_eq!((totals.sockets, totals.counts.opened, totals.counts.closed), (7, 7, 0));
}

#[tokio::test]
async fn a_survey_says_how_many_did_not_answer() {
    let cluster = Cluster::start(3, builder).await;
    let _clients = [client(&cluster, 0, "user=a").await, client(&cluster, 2, "user=b").await];
    cluster.seats[1].deafen(true);
    let patient = cluster.server(0).survey().within(Duration::from_mins(1));
    let patient = tokio::spawn(patient.counts());
    let began = Instant::now();
    let survey = cluster.server(0).survey().within(Duration::from_millis(300));
    let found = within("the end of the survey", survey.counts()).await.unwrap();
    assert_eq!((found.answered, found.asked, found.value.sockets), (2, 3, 2));
    assert!(began.elapsed() >= Duration::from_millis(300), "it gives the others their time");
    assert!(!patient.is_finished(), "each has the time that it was given");
    cluster.seats[1].deafen(false);
    let again = cluster.server(0).survey().counts().await.unwrap();
    assert_eq!((again.answered, again.asked), (3, 3));
}

#[tokio::test]
async fn a_survey_does_not_wait_for_a_node_that_ends() {
    let cluster = Cluster::start(3, builder).await;
    cluster.seats[2].deafen(true);
    let server = cluster.server(0).clone();
    let survey = server.survey().within(Duration::from_mins(1));
    let surveying = tokio::spawn(survey.sockets(SocketQuery::new()));
    // It does not hear of the survey, and is heard to end.
    cluster.server(2).shutdown().await;
    let found = within("the survey", surveying).await.unwrap().unwrap();
    assert_eq!((found.answered, found.asked), (2, 3));
}

#[tokio::test]
async fn so_many_surveys_at_once_and_no_more() {
    let cluster = Cluster::start(2, builder).await;
    cluster.seats[1].deafen(true);
    let start = || cluster.server(0).survey().within(Duration::from_millis(500)).counts();
    let all = futures_util::future::join_all((0..65).map(|_| start())).await;
    let refused = all.iter().filter(|one| matches!(one, Err(BrokerError::TooMany("surveys")))).count();
    assert_eq!((refused, all.iter().filter(|one| one.is_ok()).count()), (1, 64));
    assert!(start().await.is_ok(), "they are over");
}

#[tokio::test]
async fn every_node_does_what_all_are_told() {
    let cluster = Cluster::start(2, builder).await;
    let mut here = client(&cluster, 0, "user=ann").await;
    let mut there = client(&cluster, 1, "user=ann").await;
    let mut other = client(&cluster, 1, "user=bob").await;
    for client in [&mut here, &mut there, &mut other] {
        client.subscribe("news").await;
    }
    cluster.server(0).emit_to_users(["ann"], "direct", json!(1)).await.unwrap();
    for client in [&mut here, &mut there] {
        client.expect(json!({ "channel": "direct", "message": 1 })).await;
    }
    cluster.server(1).unsubscribe_all("news").await.unwrap();
    for client in [&mut here, &mut there, &mut other] {
        client.find("the unsubscription", |message| message["command"] == "unsubscribe").await;
    }
    assert!(cluster.server(0).channels().is_empty() && cluster.server(1).channels().is_empty());
    let close = Close::new(4500, "bye");
    cluster.server(0).disconnect_users_with(["ann"], close).await.unwrap();
    for client in [&mut here, &mut there] {
        assert_eq!(client.closed().await, (4500, "bye".to_owned()));
    }
    other.expect_alive().await;
}

#[tokio::test]
async fn a_publication_goes_once_to_each_node_that_follows_and_once_to_each_follower() {
    let cluster = Cluster::start(3, builder).await;
    let mut clients = Vec::new();
    for node in [0, 1, 1] {
        let mut one = client(&cluster, node, "user=ann").await;
        one.subscribe("news").await;
        clients.push(one);
    }
    let _idle = client(&cluster, 2, "user=ann").await;
    let counts = || cluster.seats.iter().map(Seat::publications).collect::<Vec<_>>();
    let before = counts();
    for n in 0..20 {
        cluster.server(n % 3).publish("news", n).await.unwrap();
    }
    for one in &mut clients {
        for n in 0..20 {
            one.expect(json!({ "channel": "news", "message": n })).await;
        }
        one.expect_alive().await;
    }
    let carried: Vec<_> = counts().iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(carried, [20, 20, 0]);
}

#[tokio::test]
async fn a_token_of_one_node_is_good_on_another_once() {
    let bus = Bus::new();
    let cluster = Cluster::on(bus, 2, builder).await;
    let token = cluster.nodes[0].token_of("ann").await;
    let (first, second) = (Token::parse(&token).unwrap(), Token::parse(&token).unwrap());
    let found = cluster.server(1).redeem_token(first).await.unwrap();
    assert_eq!(found.unwrap().user_id().map(|user| &**user), Some("ann"));
    assert!(cluster.server(0).redeem_token(second).await.unwrap().is_none());
}

/// A node of another version: whatever it says, and what is said to it.
struct Stranger {
    id: NodeId,
    broker: Box<dyn Broker>,
    heard: mpsc::UnboundedReceiver<Value>,
    _ears: Arc<Ears>,
}

struct Ears(mpsc::UnboundedSender<Value>);

impl BrokerHandler for Ears {
    fn handle_publication(&self, _: &Publication) {}

    fn handle_broadcast(&self, _: &RawJson) {}

    fn handle_control(&self, control: Control) {
        if let Control::Node(message) = control {
            self.0.send(message.parse().unwrap()).unwrap();
        }
    }
}

impl Stranger {
    fn join(cluster: &Cluster) -> Self {
        let (said, heard) = mpsc::unbounded_channel();
        let ears = Arc::new(Ears(said));
        let id = NodeId::from_number(7);
        let broker = cluster.bus.seat().broker();
        let weak: Weak<Ears> = Arc::downgrade(&ears);
        broker.start(id, weak).unwrap();
        Self { id, broker, heard, _ears: ears }
    }

    async fn say(&self, mut message: Value) {
        message["from"] = json!(self.id);
        self.broker.control(Control::Node(RawJson::new(&message).unwrap())).await.unwrap();
    }

    /// What the other says of this kind, whatever else it says.
    async fn hear(&mut self, kind: &str) -> Value {
        let hearing = async {
            loop {
                let mut message = self.heard.recv().await.unwrap();
                if message["from"] != json!(self.id) && !message[kind].is_null() {
                    return message[kind].take();
                }
            }
        };
        within(kind, hearing).await
    }
}

#[tokio::test]
async fn nodes_of_two_versions_work_together() {
    let cluster = Cluster::start(1, builder).await;
    let mut stranger = Stranger::join(&cluster);
    // It says more of itself than this version knows, and asks what this version does not know.
    let info = json!({ "id": stranger.id, "name": "later", "version": "99", "colour": "red" });
    stranger
        .say(json!({ "here": { "info": info, "every": 60_000, "asks": true, "mood": 1 }, "later": {} }))
        .await;
    assert_eq!(stranger.hear("here").await["info"]["name"], "node-0");
    until("the stranger to be known", || cluster.names(0) == ["later", "node-0"]).await;
    stranger.say(json!({ "ask": { "number": 5, "question": { "colours": { "all": true } } } })).await;
    let answer = stranger.hear("answer").await;
    assert_eq!(answer, json!({ "number": 5, "reply": { "failed": "not_understood" } }));
    for odd in [json!({ "ask": 7 }), json!({ "here": {} }), json!({ "answer": { "number": 1, "reply": 1 } })]
    {
        stranger.say(odd).await;
    }

    // What this version asks, the other may not know.
    for reply in
        [json!({ "failed": "not_understood" }), json!({ "failed": { "new": 1 } }), json!({ "done": 7 })]
    {
        let survey = cluster.server(0).survey().within(Duration::from_mins(1));
        let surveying = tokio::spawn(survey.counts());
        let ask = stranger.hear("ask").await;
        assert_eq!(ask["question"], json!({ "totals": {} }));
        stranger.say(json!({ "answer": { "number": ask["number"], "reply": reply } })).await;
        let found = within("the survey", surveying).await.unwrap().unwrap();
        assert_eq!((found.answered, found.asked), (1, 2), "{reply}");
    }
    // It may also leave out what it does not have.
    let surveying = tokio::spawn(cluster.server(0).survey().counts());
    let ask = stranger.hear("ask").await;
    let reply = json!({ "done": { "sockets": 3, "moods": 1 } });
    stranger.say(json!({ "answer": { "number": ask["number"], "reply": reply } })).await;
    let found = within("the survey", surveying).await.unwrap().unwrap();
    assert_eq!((found.answered, found.asked, found.value.sockets), (2, 2, 3));
    stranger.say(json!({ "gone": true })).await;
    until("the stranger to be forgotten", || cluster.names(0) == ["node-0"]).await;
}
