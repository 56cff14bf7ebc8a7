//! `call`: answers, errors, and what exit statuses say.

use tokio::net::TcpListener;

use crate::program::{Gateway, run};

#[tokio::test]
async fn prints_the_answer_as_json() {
    let gateway = Gateway::start().await;
    for data in [r#"{"hello":"world"}"#, "-5", "null", r#""é""#] {
        let ended = gateway.run(&["call", "echo", data]).await;
        assert_eq!((ended.status, ended.out.trim_end()), (0, data), "{ended:?}");
    }
}

#[tokio::test]
async fn reads_the_argument_from_standard_input() {
    let gateway = Gateway::start().await;
    let ended = gateway.start_command(&["call", "echo", "-"]).input("[1,\n2]\n").await.ended().await;
    assert_eq!(ended.status, 0, "{ended:?}");
    let answer: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(answer, serde_json::json!([1, 2]));

    let ended = gateway.start_command(&["call", "echo", "-"]).input("{").await.ended().await;
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.err.contains("standard input is not one JSON text"), "{ended:?}");
}

#[tokio::test]
async fn the_server_learns_who_calls() {
    let gateway = Gateway::start().await;
    for (arguments, user) in
        [(vec!["call", "whoami", "--user", "ann & ben"], "ann & ben"), (vec!["call", "whoami"], "anonymous")]
    {
        let ended = gateway.run(&arguments).await;
        let answer: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(answer["user"], user);
    }
}

#[tokio::test]
async fn tells_the_time() {
    let gateway = Gateway::start().await;
    let ended = gateway.run(&["call", "time"]).await;
    let time: String = serde_json::from_str(&ended.out).unwrap();
    assert!(humantime::parse_rfc3339(&time).is_ok(), "{time}");
}

#[tokio::test]
async fn an_unknown_action_ends_with_status_1_and_its_error() {
    let gateway = Gateway::start().await;
    let ended = gateway.run(&["call", "nonsense"]).await;
    assert_eq!((ended.status, ended.out.as_str()), (1, ""));
    assert_eq!(ended.err, "error: Function not found (not_found)\n");
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_how_to_quote_it() {
    let ended = run(&["call", "echo", "hello"]).await;
    assert_eq!(ended.status, 2);
    assert!(ended.err.contains(r#"'"hello"'"#), "{ended:?}");
    let ended = run(&["pub", "news", "{title:It works}"]).await;
    assert_eq!(ended.status, 2);
    assert!(ended.err.contains("single quotes"), "{ended:?}");
}

#[tokio::test]
async fn no_server_ends_with_status_3() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ended = run(&["call", "echo", "--url", &format!("http://{free}")]).await;
    assert_eq!(ended.status, 3, "{ended:?}");
    assert!(ended.err.contains("tokensocket serve"), "{ended:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_ends_with_status_3_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let ended = run(&["call", "echo", "--url", &url, "--timeout", "100ms"]).await;
    assert_eq!(ended.status, 3, "{ended:?}");
}

#[tokio::test]
async fn an_address_that_is_none_ends_with_status_2() {
    let ended = run(&["call", "echo", "--url", "nonsense"]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.err.contains("https://host:port"), "{ended:?}");
}
