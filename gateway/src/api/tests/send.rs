//! `POST /send`.

use std::future::pending;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokensocket_server::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceStore, Entry, Expired, MemoryDeviceStore, Message,
    QueueLimits, Resync, Server, StoreError, Timestamp, To,
};

use super::http::Request;
use super::{Gateway, LIMIT, soon};
use crate::config::{Secret, SiteConfig};

const TARGET: &str = "/send?site=newsite&apiKey=54321";

#[tokio::test]
async fn answers_with_the_statuses_and_texts_of_the_original() {
    let gateway = Gateway::start().await;
    let body = json!({ "rooms": ["staff"], "event": "e", "args": [] });
    let missing = (400, "Missing query param 'site' or 'apiKey'.");
    let invalid = (401, "ApiKey invalid.");
    for (target, expected) in [
        ("/send", missing),
        ("/send?site=newsite", missing),
        ("/send?apiKey=54321", missing),
        ("/send?site=&apiKey=54321", missing),
        ("/send?site=newsite&apiKey=", missing),
        ("/send?site=newsite&apiKey=5432", invalid),
        ("/send?site=newsite&apiKey=543210", invalid),
        ("/send?site=newsite&apiKey=secret", invalid),
        ("/send?site=nowhere&apiKey=54321", invalid),
        ("/send?site=newsite&apiKey=54321", (200, "OK")),
        ("/send?site=newsite&apiKey=old", (200, "OK")),
        ("/send/?site=newsite&apiKey=54321&resync=false", (200, "OK")),
    ] {
        let answer = gateway.post(target, &body).send().await;
        assert_eq!(answer.said(), expected, "{target}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(answer.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn takes_the_key_as_a_bearer_token() {
    let gateway = Gateway::start().await;
    let body = json!({ "rooms": "staff", "event": "e", "args": [] });
    let send = async |authorization: &str| {
        let request = gateway.post("/send?site=newsite", &body).header("authorization", authorization);
        request.send().await.said().0
    };
    assert_eq!(send("Bearer 54321").await, 200);
    assert_eq!(send("bearer 54321").await, 200);
    assert_eq!(send("Bearer 54322").await, 401);
    assert_eq!(send("Basic 54321").await, 400);
    assert_eq!(send("Bearer").await, 400);
}

#[tokio::test]
async fn reaches_each_device_in_any_of_the_rooms_once() {
    let gateway = Gateway::start().await;
    let mut phone = gateway.device("newsite", "1", "user_1,staff,desk", "phone", "update_store").await;
    let mut tablet = gateway.device("newsite", "1", "user_1,staff,desk", "tablet", "update_store").await;
    let mut other = gateway.device("newsite", "2", "user_2", "phone", "update_store").await;
    let mut foreign = gateway.device("other", "1", "user_1,staff", "phone", "update_store").await;

    let args = json!(["user", { "id": 1, "age": 5 }]);
    let body = json!({ "rooms": ["user_1", "STAFF", "desk"], "event": "update_store", "args": args });
    assert_eq!(gateway.post(TARGET, &body).send().await.said(), (200, "OK"));
    assert_eq!(phone.next().await, args);
    assert_eq!(tablet.next().await, args);

    // What comes next is the next one: nothing came twice, and nothing to whom it is not for.
    let last = json!({ "rooms": ["user_2", "user_1"], "event": "update_store", "args": ["last"] });
    assert_eq!(gateway.post(TARGET, &last).send().await.said(), (200, "OK"));
    for device in [&mut phone, &mut tablet, &mut other] {
        assert_eq!(device.next().await, json!(["last"]));
        assert!(device.is_quiet());
    }
    assert!(foreign.is_quiet());
}

#[tokio::test]
async fn takes_private_rooms_for_what_they_are_and_shared_ones_whatever_their_case() {
    let gateway = Gateway::start().await;
    let mut device = gateway.device("newsite", "Ann", "user_Ann,staff", "phone", "e").await;
    for (room, args) in
        [("user_ann", "nobody's"), ("Staff", "shared"), ("USER_Ann", "nobody's"), ("user_Ann", "own")]
    {
        let body = json!({ "rooms": room, "event": "e", "args": [args] });
        assert_eq!(gateway.post(TARGET, &body).send().await.said(), (200, "OK"));
    }
    assert_eq!(device.next().await, json!(["shared"]));
    assert_eq!(device.next().await, json!(["own"]));
}

#[tokio::test]
async fn passes_arguments_on_as_they_came() {
    let gateway = Gateway::start().await;
    let mut device = gateway.device("newsite", "1", "user_1", "phone", "e").await;
    for (args, expected) in [
        (r#""args":[]"#, "[]"),
        (r#""args":[1.50,"\u00fc",[[]],null]"#, r#"[1.50,"\u00fc",[[]],null]"#),
        (r#""args":"one""#, r#"["one"]"#),
        (r#""args":{"b":1,"a":2}"#, r#"[{"b":1,"a":2}]"#),
        // Who names no arguments sends a null, as the original did.
        (r#""more":1"#, "[null]"),
    ] {
        let body = format!(r#"{{"rooms":"user_1","event":"e",{args}}}"#);
        let sent =
            Request::new(gateway.address, "POST", TARGET).body("application/json; charset=utf-8", body);
        assert_eq!(sent.send().await.said(), (200, "OK"), "{args}");
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(device.next().await, expected);
    }
}

#[tokio::test]
async fn reads_forms_as_libraries_write_them() {
    let gateway = Gateway::start().await;
    let mut device = gateway.device("newsite", "1", "user_1,staff", "phone", "update_store").await;
    let nested = json!(["user", { "id": "1", "age": "5" }]);
    for (form, expected) in [
        (
            "rooms%5B%5D=user_1&rooms%5B%5D=staff&event=update_store&args%5B%5D=user&args%5B1%5D%5Bid%5D=1&args%5B1%5D%5Bage%5D=5",
            &nested,
        ),
        (
            "rooms[0]=user_1&rooms[1]=staff&event=update_store&args[0]=user&args[1][id]=1&args[1][age]=5",
            &nested,
        ),
        ("rooms[]=user_1&event=update_store&args[]=user&args[][id]=1&args[][age]=5", &nested),
        ("rooms=user_1&event=update_store&args=a+b%26c", &json!(["a b&c"])),
        ("rooms=user_1&rooms=staff&event=update_store", &json!([null])),
    ] {
        let answer = Request::new(gateway.address, "POST", TARGET).form(form).send().await;
        assert_eq!(answer.said(), (200, "OK"), "{form}");
        assert_eq!(device.next().await, *expected, "{form}");
    }
    for form in ["event=e", "rooms[x]=a&event=e", "rooms=a", "rooms=a&event[]=e", "", "rooms[][x]=a&event=e"]
    {
        let answer = Request::new(gateway.address, "POST", TARGET).form(form).send().await;
        assert_eq!(answer.status, 400, "{form}");
    }
}

#[tokio::test]
async fn keeps_for_a_device_that_is_away_and_resyncs_one_that_acknowledges_out_of_order() {
    let gateway = Gateway::start().await;
    let device = gateway.device("newsite", "1", "user_1", "phone", "e").await;
    soon(device.socket.end()).await;
    let body = json!({ "rooms": "user_1", "event": "e", "args": [1] });
    assert_eq!(gateway.post(TARGET, &body).send().await.said(), (200, "OK"));
    let mut back = gateway.device("newsite", "1", "user_1", "phone", "e").await;
    assert_eq!(back.next().await, json!([1]));
    soon(back.socket.end()).await;

    for (resync, is_told) in [("resync=true", true), ("resync=1", true), ("resync=false", false), ("", false)]
    {
        let (user, room) = (format!("of {resync}"), format!("user_of {resync}"));
        let socket = gateway.client("newsite", &user, &room).device("phone").connect().unwrap();
        let (hand, mut deliveries) = tokio::sync::mpsc::unbounded_channel();
        let of_e = hand.clone();
        socket.on_delivery_by_hand("e", move |delivery| drop(of_e.send(delivery)));
        socket.on_delivery_by_hand("end", move |delivery| drop(hand.send(delivery)));
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let resynced = tell.clone();
        socket.on_resync(move |_| {
            let _ = resynced.send(true);
            async { Ok::<_, std::convert::Infallible>(()) }
        });
        let (greet, mut greeted) = tokio::sync::mpsc::unbounded_channel();
        socket.on_settings(move |_| {
            let _ = greet.send(());
        });
        super::ready(&socket).await;
        soon(greeted.recv()).await.unwrap();
        for event in ["e", "e"] {
            let body = json!({ "rooms": room, "event": event, "args": [] });
            let target = format!("{TARGET}&{resync}");
            assert_eq!(gateway.post(&target, &body).send().await.said(), (200, "OK"));
        }
        let first = soon(deliveries.recv()).await.unwrap();
        soon(deliveries.recv()).await.unwrap().acknowledge();
        let body = json!({ "rooms": room, "event": "end", "args": [] });
        assert_eq!(gateway.post(TARGET, &body).send().await.said(), (200, "OK"));
        if is_told {
            assert_eq!(soon(told.recv()).await, Some(true), "{resync}");
        } else {
            assert_eq!(soon(deliveries.recv()).await.unwrap().event(), "end");
            assert!(told.try_recv().is_err(), "{resync}");
        }
        drop((first, tell));
        soon(socket.end()).await;
    }
}

#[tokio::test]
async fn says_what_is_wrong_with_a_body() {
    let gateway = Gateway::start().await;
    let request = || Request::new(gateway.address, "POST", TARGET);
    for body in [
        "",
        "{",
        "[]",
        "5",
        r#"{"rooms":5,"event":"e"}"#,
        r#"{"rooms":["a",1],"event":"e"}"#,
        r#"{"rooms":["a"]}"#,
        r#"{"event":"e"}"#,
        r#"{"rooms":"a","event":""}"#,
        r#"{"rooms":"a","event":"disconnect"}"#,
    ] {
        let answer = request().body("application/json", body).send().await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        assert!(!answer.body.is_empty());
    }
    assert_eq!(request().body("text/plain", "x").send().await.status, 415);
    let get = gateway.get(TARGET).send().await;
    assert_eq!((get.status, get.header("allow")), (405, Some("post")));
    let large = json!({ "rooms": "a", "event": "e", "args": ["x".repeat(5_000)] });
    assert_eq!(gateway.post(TARGET, &large).send().await.status, 413, "more than a queue holds");
    let huge = request().header("content-length", "1048577").body("application/json", "{");
    assert_eq!(huge.send().await.status, 413, "not even read");
}

#[tokio::test]
async fn reads_no_body_of_whom_it_does_not_know() {
    let gateway = Gateway::start().await;
    let request = Request::new(gateway.address, "POST", "/send?site=newsite&apiKey=wrong");
    // The body never comes.
    let answer =
        tokio::time::timeout(LIMIT / 2, request.header("content-length", "1000").send()).await.unwrap();
    assert_eq!(answer.said(), (401, "ApiKey invalid."));
}

/// A store that takes whatever it is given, and never says so.
struct Silent(MemoryDeviceStore);

impl DeviceStore for Silent {
    fn append(&self, _: To, _: Message, _: Timestamp) -> BoxFuture<'static, Result<Appended, StoreError>> {
        pending().boxed()
    }

    fn arrive(&self, arrival: Arrival, now: Timestamp) -> BoxFuture<'static, Result<Arrived, StoreError>> {
        self.0.arrive(arrival, now)
    }

    fn depart(&self, device: Device, now: Timestamp) -> BoxFuture<'static, Result<(), StoreError>> {
        self.0.depart(device, now)
    }

    fn read(
        &self,
        device: Device,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.0.read(device, after, limit, now)
    }

    fn acknowledge(
        &self,
        device: Device,
        what: Acknowledge,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Option<Resync>, StoreError>> {
        self.0.acknowledge(device, what, now)
    }

    fn told(&self, device: Device, numbers: Vec<u64>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.0.told(device, numbers)
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Expired, StoreError>> {
        self.0.expire(now)
    }
}

#[tokio::test]
async fn what_may_be_kept_or_not_is_told_with_a_time_to_try_again() {
    let server = Server::builder()
        .authenticate_anyone()
        .device_store(Silent(MemoryDeviceStore::new(QueueLimits::default())))
        .store_timeout(Duration::from_millis(20));
    let config =
        SiteConfig { open: false, api_keys: vec![Secret::new("54321")], ..SiteConfig::open("newsite") };
    let gateway = Gateway::of([(server.build().unwrap(), config)]).await;
    let body = json!({ "rooms": ["staff"], "event": "e", "args": [] });
    let answer = gateway.post(TARGET, &body).send().await;
    assert_eq!(answer.said().0, 504);
    assert_eq!(answer.header("retry-after"), Some("1"));
}
