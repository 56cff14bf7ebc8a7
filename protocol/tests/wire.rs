//! What one end writes the other end reads: positions, history, presence, deliveries.
#![cfg(feature = "json")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokensocket_protocol::codec::{Codec, NativeCodec};
use tokensocket_protocol::command::presence::{self, Member};
use tokensocket_protocol::command::subscribe::{self, Joined};
use tokensocket_protocol::command::{Past, deliver, publish};
use tokensocket_protocol::message::{
    Acknowledge, ClientMessage, Delivery, HistoryQuery, PresenceQuery, ServerMessage, Settings,
};
use tokensocket_protocol::server::{Command, Event, Session};
use tokensocket_protocol::{Answer, Channel, Epoch, Framed, Position, RawJson, ResyncReason};

fn session(hello: &str) -> Session {
    let mut session = Session::new();
    let token = "abababab-abab-4bab-abab-abababababab";
    let auth = format!(r#"{{"rpc":"auth","token":"{token}","uuid":"1"{hello}}}"#);
    let Event::Authenticate { answer, .. } = session.handle_message(&auth, Vec::new()) else { panic!() };
    session.authenticated();
    answer.authenticated(None);
    session
}

fn ours() -> Session {
    session(r#","client":{"name":"n","version":"1"}"#)
}

/// What a server understands of a client's message.
fn understood<R>(
    session: &mut Session,
    message: &ClientMessage<RawJson>,
    check: impl FnOnce(Command<'_>) -> R,
) -> R {
    let text = NativeCodec.encode(message);
    let text = std::str::from_utf8(&text).unwrap();
    match session.handle_message(text, Vec::new()) {
        Event::Command(command) => check(command),
        other => panic!("{text}: {other:?}"),
    }
}

/// What a server answers to a text that it does not understand.
fn refused(text: &str) -> Value {
    match ours().handle_message(text, Vec::new()) {
        Event::Send(answer) => serde_json::from_slice(answer.as_bytes()).unwrap(),
        other => panic!("{text}: {other:?}"),
    }
}

fn read(text: impl Into<Framed>) -> ServerMessage<RawJson> {
    NativeCodec.decode(&Bytes::from(text.into().into_bytes())).unwrap()
}

fn resp(text: Framed) -> Value {
    let ServerMessage::Answer { outcome: Ok(resp), .. } = read(text) else { panic!() };
    resp.parse().unwrap()
}

fn raw(value: &Value) -> RawJson {
    RawJson::new(value).unwrap()
}

fn channel() -> Channel {
    Channel::new("news \"1\"").unwrap()
}

fn name() -> String {
    channel().to_string()
}

fn uuid() -> String {
    "u".to_owned()
}

fn position(offset: u64) -> Position {
    Position::new(Epoch::new("e-1").unwrap(), offset).unwrap()
}

#[test]
fn a_subscriber_says_where_it_stands_and_hears_where_it_goes_on() {
    let message = ClientMessage::Subscribe {
        channel: name(),
        recover: Some(position(7)),
        presence: true,
        uuid: uuid(),
    };
    let answer = understood(&mut ours(), &message, |command| {
        let Command::Subscribe(request, answer) = command else { panic!() };
        let expected =
            subscribe::Subscribe { channel: channel(), recover: Some(position(7)), presence: true };
        assert_eq!(request, expected);
        answer
    });
    let (eight, nine) = (raw(&json!(8)), raw(&json!("nine")));
    let past = |offset, message| Past { offset, message, at: None };
    let joined = Joined {
        position: Some(&position(9)),
        recovered: Some(true),
        publications: vec![past(8, &eight), past(9, &nine)],
        pattern: false,
    };
    let ServerMessage::Subscribed { channel, uuid, joined } = read(answer.subscribed(&channel(), &joined))
    else {
        panic!()
    };
    assert_eq!((channel, uuid.as_deref()), (name(), Some("u")));
    assert_eq!((joined.position, joined.recovered), (Some(position(9)), Some(true)));
    assert_eq!(joined.publications, [(8, eight), (9, nine)]);
}

#[test]
fn what_was_not_recovered_brings_no_publications() {
    let null = RawJson::null();
    let joined = Joined {
        position: Some(&position(9)),
        recovered: Some(false),
        publications: vec![Past { offset: 1, message: &null, at: None }],
        pattern: true,
    };
    let text = subscribe::subscribed_by_server(&channel(), &joined);
    let data = json!({"channel": name(), "epoch": "e-1", "offset": 9, "recovered": false, "pattern": true});
    let text: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(text, json!({"internal": true, "command": "subscribe", "data": data}));
}

#[test]
fn without_history_nothing_is_told_that_was_not() {
    assert_eq!(
        subscribe::subscribed_by_server(&Channel::new("c").unwrap(), &Joined::default()),
        br#"{"internal":true,"command":"subscribe","data":{"channel":"c"}}"#
    );
    let publication = publish::publication(&Channel::new("c").unwrap(), &raw(&json!([1])), None);
    assert_eq!(publication, br#"{"channel":"c","message":[1]}"#);
    let message =
        ClientMessage::Subscribe { channel: "c".into(), recover: None, presence: false, uuid: uuid() };
    assert_eq!(
        &NativeCodec.encode(&message)[..],
        br#"{"rpc":"_subscribe","req":{"channel":"c"},"uuid":"u"}"#
    );
    understood(&mut ours(), &message, |command| {
        let Command::Subscribe(_, answer) = command else { panic!() };
        let text = answer.subscribed(&Channel::new("c").unwrap(), &Joined::default());
        let expected = r#"{"internal":true,"command":"subscribe","data":{"rpc":"_subscribe","uuid":"u","req":{"channel":"c"},"channel":"c"}}"#;
        assert_eq!(String::from_utf8(text.into_bytes()).unwrap(), expected);
    });
}

#[test]
fn a_publication_has_its_offset() {
    let text = publish::publication(&channel(), &raw(&json!({"x": 1})), Some(41));
    let publication =
        ServerMessage::Publication { channel: name(), message: raw(&json!({"x": 1})), offset: Some(41) };
    assert_eq!(read(text), publication);
}

/// Publishes with a key, and says what came of it.
fn published(session: &mut Session, say: impl FnOnce(Answer) -> Framed) -> Value {
    let data = raw(&json!([1]));
    let message = ClientMessage::Publish { channel: name(), data, key: Some("k\"".to_owned()), uuid: uuid() };
    let answer = understood(session, &message, |command| {
        let Command::Publish(request, answer) = command else { panic!() };
        assert_eq!((request.channel, request.data.as_str()), (channel(), "[1]"));
        assert_eq!(request.key.as_deref(), Some("k\""));
        answer
    });
    resp(say(answer))
}

#[test]
fn a_publisher_hears_where_its_publication_stands_if_it_said_hello() {
    let mut session = ours();
    let at = position(3);
    assert_eq!(published(&mut session, |answer| answer.published(None, false)), "success");
    let expected = json!({"epoch": "e-1", "offset": 3});
    assert_eq!(published(&mut session, |answer| answer.published(Some(&at), false)), expected);
    let expected = json!({"epoch": "e-1", "offset": 3, "duplicate": true});
    assert_eq!(published(&mut session, |answer| answer.published(Some(&at), true)), expected);
    let expected = json!({"duplicate": true});
    assert_eq!(published(&mut session, |answer| answer.published(None, true)), expected);
    let mut original = self::session("");
    assert_eq!(published(&mut original, |answer| answer.published(Some(&at), true)), "success");
}

#[test]
fn history_is_asked_for_and_told() {
    let query = HistoryQuery { since: Some(position(2)), limit: Some(10), reverse: true };
    let message = ClientMessage::History { channel: name(), query, uuid: uuid() };
    let answer = understood(&mut ours(), &message, |command| {
        let Command::History(request, answer) = command else { panic!() };
        assert_eq!((request.channel, request.since), (channel(), Some(position(2))));
        assert_eq!((request.limit, request.reverse), (Some(10), true));
        answer
    });
    let kept = raw(&json!("a"));
    let past = Past { offset: 2, message: &kept, at: Some(1_700_000_000_000) };
    let expected = json!({
        "epoch": "e-1", "offset": 4, "gap": true, "more": true,
        "publications": [{"offset": 2, "message": "a", "at": 1_700_000_000_000_u64}],
    });
    assert_eq!(resp(answer.history(&position(4), [past], true, true)), expected);
    let message = ClientMessage::History { channel: name(), query: HistoryQuery::default(), uuid: uuid() };
    understood(&mut ours(), &message, |command| {
        let Command::History(request, answer) = command else { panic!() };
        assert_eq!((request.since, request.limit, request.reverse), (None, None, false));
        let expected = json!({"epoch": "e-1", "offset": 0, "publications": []});
        assert_eq!(resp(answer.history(&position(0), [], false, false)), expected);
    });
}

#[test]
fn presence_is_asked_for_and_told() {
    let query = PresenceQuery { limit: Some(0), after: Some("s\"1".to_owned()) };
    let message = ClientMessage::Presence { channel: name(), query, uuid: uuid() };
    let answer = understood(&mut ours(), &message, |command| {
        let Command::Presence(request, answer) = command else { panic!() };
        let expected = presence::Presence { channel: channel(), limit: Some(0), after: Some("s\"1".into()) };
        assert_eq!(request, expected);
        answer
    });
    let info = raw(&json!({"name": "Ada"}));
    let member = Member { client: "s1", user: Some("8"), info: &info, since: 5 };
    let null = RawJson::null();
    let nobody = Member { client: "s2", user: None, info: &null, since: 6 };
    let told = json!({"client": "s1", "user": "8", "info": {"name": "Ada"}, "since": 5});
    let expected = json!({
        "clients": 3, "users": 2, "more": true,
        "members": [told, {"client": "s2", "info": null, "since": 6}],
    });
    assert_eq!(resp(answer.presence(3, 2, [member, nobody], true)), expected);
    for (text, joined) in
        [(presence::joined(&channel(), member), true), (presence::left(&channel(), member), false)]
    {
        let ServerMessage::Member { channel, member, joined: read } = read(text) else { panic!() };
        assert_eq!((channel, member.parse::<Value>().unwrap(), read), (name(), told.clone(), joined));
    }
}

#[test]
fn deliveries_and_their_acknowledgement_are_understood() {
    let (first, second) = (raw(&json!([1, "a"])), raw(&json!([])));
    let item = |seq, event, args| deliver::Delivery { seq, event, args };
    let delivery =
        |id, event: &str, args: &RawJson| Delivery { id, event: event.to_owned(), args: args.clone() };
    assert_eq!(
        read(deliver::settings(Duration::from_secs(90), "d\"", &Epoch::new("e").unwrap(), true)),
        ServerMessage::Settings(Settings {
            device_ttl: 90,
            device: "d\"".to_owned(),
            epoch: "e".to_owned(),
            resumed: true
        })
    );
    assert_eq!(
        read(deliver::batch(4, [item(3, "a\"b", &first), item(4, "c", &second)])),
        ServerMessage::Batch { id: 4, items: vec![delivery(3, "a\"b", &first), delivery(4, "c", &second)] }
    );
    assert_eq!(
        read(deliver::deliver(item(5, "c", &second))),
        ServerMessage::Deliver(delivery(5, "c", &second))
    );
    for reason in ResyncReason::ALL {
        let told =
            |event: Option<&str>| ServerMessage::Resync { id: 2, event: event.map(str::to_owned), reason };
        assert_eq!(read(deliver::resync(2, Some("e\""), reason)), told(Some("e\"")));
        assert_eq!(read(deliver::resync(2, None, reason)), told(None));
    }
    for what in [Acknowledge::One(3), Acknowledge::Batch(4), Acknowledge::Resync(2)] {
        understood(&mut ours(), &ClientMessage::Acknowledge { what, uuid: uuid() }, |command| {
            let Command::Acknowledge(read, answer) = command else { panic!() };
            assert_eq!(read, what);
            assert_eq!(resp(answer.success()), "success");
        });
    }
}

#[test]
fn a_device_is_named_in_the_hello() {
    let device = |fields: &str| {
        let mut session = Session::new();
        let token = "abababab-abab-4bab-abab-abababababab";
        let auth = format!(
            r#"{{"rpc":"auth","token":"{token}","uuid":"1","client":{{"name":"n","version":"1"{fields}}}}}"#
        );
        let Event::Authenticate { hello, .. } = session.handle_message(&auth, Vec::new()) else { panic!() };
        hello.expect("it is a hello all the same").device
    };
    assert_eq!(device(r#","device":"phone 1""#).as_deref(), Some("phone 1"));
    let longest = "x".repeat(128);
    assert_eq!(device(&format!(r#","device":"{longest}""#)), Some(longest.clone()));
    for none in [
        String::new(),
        r#","device":null"#.to_owned(),
        r#","device":"""#.to_owned(),
        r#","device":5"#.to_owned(),
        format!(r#","device":"{longest}x""#),
    ] {
        assert_eq!(device(&none), None, "{none}");
    }
}

#[test]
fn what_is_malformed_is_refused() {
    let key = "k".repeat(129);
    for req in [
        r#""_subscribe","req":{"channel":"c","recover":{"epoch":"e"}}"#,
        r#""_subscribe","req":{"channel":"c","recover":{"epoch":"","offset":1}}"#,
        r#""_subscribe","req":{"channel":"c","recover":{"epoch":"e","offset":-1}}"#,
        r#""_subscribe","req":{"channel":"c","presence":"yes"}"#,
        r#""_publish","req":{"channel":"c","data":1,"key":""}"#,
        r#""_publish","req":{"channel":"c","data":1,"key":5}"#,
        &format!(r#""_publish","req":{{"channel":"c","data":1,"key":"{key}"}}"#),
        r#""_history","req":{"channel":""}"#,
        r#""_history","req":{"channel":"c","limit":-1}"#,
        r#""_history","req":{"channel":"c","since":5}"#,
        r#""_history""#,
        r#""_presence","req":{"channel":"c","limit":"all"}"#,
        r#""_presence","req":{}"#,
        r#""_ack","req":{}"#,
        r#""_ack","req":{"id":1,"batch":2}"#,
        r#""_ack","req":{"id":-1}"#,
        r#""_ack","req":{"id":9007199254740992}"#,
    ] {
        let answer = refused(&format!(r#"{{"rpc":{req},"uuid":"u"}}"#));
        assert_eq!(
            (&answer["code"], &answer["error"]),
            (&json!("bad_request"), &json!("Invalid request")),
            "{req}"
        );
        assert!(answer["details"]["expected"].is_string(), "{req}");
    }
}
