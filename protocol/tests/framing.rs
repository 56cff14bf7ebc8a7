//! What a session says within SockJS frames is what it says on a plain WebSocket, escaped.
#![cfg(feature = "json")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde_json::{Value, json};
use tokensocket_protocol::command::Past;
use tokensocket_protocol::command::presence::Member;
use tokensocket_protocol::command::subscribe::Joined;
use tokensocket_protocol::message::SessionInfo;
use tokensocket_protocol::server::{Command, Event, Session};
use tokensocket_protocol::{
    Answer, Channel, Epoch, ErrorCode, Framed, Framing, Position, RawJson, RpcError, sockjs,
};

const TOKEN: &str = "abababab-abab-4bab-abab-abababababab";

/// What a session says, in one framing.
struct Saying {
    session: Session,
    said: Vec<Framed>,
}

impl Saying {
    fn new(framing: Framing) -> Self {
        Self { session: Session::new().framed(framing), said: Vec::new() }
    }

    /// Hears a message, and says `say` where there is something to answer.
    fn hear(&mut self, text: &str, say: &dyn Fn(Answer) -> Framed) {
        // Room that was used before, as a driver has it.
        let said = match self.session.handle_message(text, Vec::with_capacity(7)) {
            Event::Ignore | Event::Close(None, _) | Event::Command(Command::Answer(_)) => return,
            Event::Send(said) | Event::Close(Some(said), _) => said,
            Event::Authenticate { answer, .. } => {
                self.session.authenticated();
                say(answer)
            }
            Event::Command(command) => say(match command {
                Command::Call(_, answer)
                | Command::Subscribe(_, answer)
                | Command::Unsubscribe(_, answer)
                | Command::Publish(_, answer)
                | Command::Broadcast(_, answer)
                | Command::History(_, answer)
                | Command::Presence(_, answer)
                | Command::Acknowledge(_, answer)
                | Command::Ping(answer)
                | Command::Cancel(_, answer) => answer,
                other => panic!("{other:?}"),
            }),
        };
        self.said.push(said);
    }
}

/// Has two sessions hear the same and compares what they say: one says it raw, one within SockJS frames.
fn same_in_both(texts: &[String], say: &dyn Fn(Answer) -> Framed) {
    let [raw, sockjs] = [Framing::Raw, Framing::SockJs].map(|framing| {
        let mut saying = Saying::new(framing);
        for text in texts {
            saying.hear(text, say);
        }
        assert!(saying.said.iter().all(|said| said.framing() == framing));
        saying.said
    });
    let frames = |said: &[Framed]| {
        let mut frames = Vec::new();
        for said in said {
            sockjs::push_element(&mut frames, said.framing(), said.as_bytes());
        }
        String::from_utf8(frames).unwrap()
    };
    assert_eq!(frames(&raw), frames(&sockjs), "{texts:?}");
}

/// Values of every kind, with all that is escaped.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z0-9 -]{0,70}",
        "[\"\\\\/a-c\u{0}\u{1f}\u{7f}\n\t\u{e9}\u{200c}\u{2028}\u{ffff}\u{1f600}]{0,40}",
        any::<String>(),
    ];
    let leaf = prop_oneof![
        3 => text.prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn raw(value: &Value) -> RawJson {
    RawJson::new(value).unwrap()
}

fn auth(hello: bool) -> String {
    let hello = if hello { r#","client":{"name":"n","version":"1"}"# } else { "" };
    format!(r#"{{"rpc":"auth","token":"{TOKEN}","uuid":"1"{hello}}}"#)
}

/// All that an answer can say.
fn sayings(value: &Value, other: &Value, number: u64, flag: bool) -> Vec<Box<dyn Fn(Answer) -> Framed>> {
    let (result, kept, text) = (raw(value), raw(other), other.to_string());
    let past = move |at: Option<u64>| vec![(number, kept.clone(), at); 2];
    let position = Position { epoch: Epoch::new("e1").unwrap(), offset: number };
    let place = position.clone();
    let joined_past = past.clone();
    let joined = move |answer: Answer, recovered: Option<bool>| {
        let kept = joined_past(None);
        let publications =
            kept.iter().map(|(offset, message, at)| Past { offset: *offset, message, at: *at }).collect();
        let position = recovered.is_some().then_some(&place);
        let channel = Channel::new("news \"1\"").unwrap();
        answer.subscribed(&channel, &Joined { position, recovered, publications, pattern: flag })
    };
    let (joined_new, joined_again) = (joined.clone(), joined);
    let error = RpcError::value(value.clone()).with_code(ErrorCode::Forbidden).with_details(other);
    let outcomes = [Ok(result.clone()), Err(RpcError::new(text.clone()))];
    let [good, bad] = outcomes.map(|outcome| move |answer: Answer| answer.outcome(&outcome));
    let session = SessionInfo {
        id: text.clone(),
        ping_ms: number,
        max_message_bytes: number,
        features: vec![text.clone(), String::new()],
    };
    let published = position.clone();
    let info = result.clone();
    vec![
        Box::new(move |answer| answer.resp(&result)),
        Box::new(Answer::success),
        Box::new(Answer::pong),
        Box::new(move |answer| answer.error(&error)),
        Box::new(good),
        Box::new(bad),
        Box::new(move |answer| answer.authenticated(Some(&session))),
        Box::new(move |answer| answer.published(Some(&published), flag)),
        Box::new(move |answer| answer.published(None, flag)),
        Box::new(move |answer| joined_new(answer, None)),
        Box::new(move |answer| joined_again(answer, Some(flag))),
        Box::new(move |answer| {
            let kept = past(Some(number));
            let past = kept.iter().map(|(offset, message, at)| Past { offset: *offset, message, at: *at });
            answer.history(&position, past, flag, !flag)
        }),
        Box::new(move |answer| {
            let member = Member { client: &text, user: flag.then_some(&*text), info: &info, since: number };
            answer.presence(1, 2, [member, member], flag)
        }),
    ]
}

#[test]
fn says_the_same_of_what_it_does_not_understand() {
    for first in ["", "{", "null", "[1]", r#"{"rpc":"x","req":{"a":"b\"c"},"uuid":"\n"}"#] {
        same_in_both(&[first.to_owned()], &Answer::success);
    }
    let deep = format!(r#"{{"rpc":"a","req":{}{},"uuid":"\u2028"}}"#, "[".repeat(200), "]".repeat(200));
    for then in ["", "[", "null", "{}", r#"{"rpc":"_subscribe","req":5,"uuid":"1"}"#, &deep] {
        for hello in [false, true] {
            same_in_both(&[auth(hello), then.to_owned()], &Answer::success);
        }
    }
}

#[test]
fn writes_names_and_punctuation_escaped() {
    let mut saying = Saying::new(Framing::SockJs);
    saying.hear(&auth(false), &Answer::success);
    saying.hear(r#"{"rpc":"echo","req":"x","uuid":"7"}"#, &|answer| answer.resp(&raw(&json!("y\"z"))));
    let said: Vec<_> = saying.said.iter().map(|said| std::str::from_utf8(said.as_bytes()).unwrap()).collect();
    assert_eq!(said[1], r#"{\"rpc\":\"echo\",\"uuid\":\"7\",\"resp\":\"y\\\"z\"}"#);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn says_the_same_in_both_framings(
        rpc in "[a-z.\"\\\\\u{2028}]{0,20}",
        verb in prop::sample::select(vec!["", "_ping", "_subscribe", "_publish", "_history", "_cancel", "auth"]),
        uuid in value(),
        request in value(),
        name in any::<String>(),
        result in value(),
        other in value(),
        number in 0_u64..1 << 53,
        (flag, hello, is_first) in any::<(bool, bool, bool)>(),
    ) {
        let verb = if verb.is_empty() { rpc } else { verb.to_owned() };
        let request = if flag { json!({ "channel": "c", "data": request, "uuid": "u" }) } else { request };
        let mut message = json!({ "rpc": verb, "req": request, "uuid": uuid, "token": other });
        message[&name] = result.clone();
        let mut texts = vec![auth(hello), message.to_string()];
        if is_first {
            texts.swap(0, 1);
        }
        for say in sayings(&result, &other, number, flag) {
            same_in_both(&texts, &*say);
        }
    }
}
