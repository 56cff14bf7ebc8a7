//! What a site is told about its users: in order, again until it listens, and not without end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use tokensocket_tests::gateway::{Gateway, Visitor, sites};
use tokensocket_tests::limit::until;
use tokensocket_tests::site::{Asked, Orders, Site};

fn told(site: &Site, token: &str) -> Vec<Asked> {
    site.asked(token).into_iter().filter(|asked| asked.method == "PUT").collect()
}

fn what(asked: &Asked) -> &str {
    let user = asked.body["user"].as_object().expect("a user");
    user.keys().next().expect("one field")
}

#[tokio::test]
async fn what_was_not_heard_is_told_again_in_order() {
    let site = Site::start().await;
    let gateway = Gateway::start(&sites(&site)).await;
    let put = Orders { fail: 2, ..Orders::default() };
    let token = Orders { put: Some(Box::new(put)), ..Orders::rooms(["user_8"]) }.token();

    drop(gateway.visit("newsite", &token).await.unwrap());
    until("the site to hear it all", || {
        told(&site, &token).iter().any(|asked| what(asked) == "last_disconnected")
    })
    .await;

    let told = told(&site, &token);
    let told: Vec<_> = told.iter().map(what).collect();
    assert_eq!(told, ["last_connected", "last_connected", "last_connected", "last_disconnected"]);
}

#[tokio::test]
async fn several_tabs_are_one_user() {
    let site = Site::start().await;
    let gateway = Gateway::start(&sites(&site)).await;
    let token = Orders::rooms(["user_8"]).token();

    let mut tabs = Vec::new();
    for _ in 0..4 {
        tabs.push(gateway.visit("newsite", &token).await.unwrap());
    }
    until("the site to hear of the first", || told(&site, &token).len() == 1).await;
    tabs.truncate(1);
    tabs.push(gateway.visit("newsite", &token).await.unwrap());
    drop(tabs);
    until("the site to hear of the last", || told(&site, &token).len() == 2).await;

    let told = told(&site, &token);
    assert_eq!(told.iter().map(what).collect::<Vec<_>>(), ["last_connected", "last_disconnected"]);
    assert!(told.iter().all(|asked| asked.path == "/users/8" && asked.body["id"] == "8"), "{told:?}");
}

#[tokio::test]
async fn a_site_that_does_not_listen_keeps_nobody_out() {
    let site = Site::start().await;
    let gateway = Gateway::start(&sites(&site)).await;
    for (n, put) in [
        Orders { hang: true, ..Orders::default() },
        Orders { drop: true, ..Orders::default() },
        Orders::status(500),
        Orders::status(404),
    ]
    .into_iter()
    .enumerate()
    {
        let rooms = [format!("user_{n}")];
        let token = Orders { put: Some(Box::new(put)), rooms: rooms.to_vec(), ..Orders::default() }.token();
        let mut visitor = gateway.visit("newsite", &token).await.unwrap();
        assert_eq!(visitor.event().await[0], "_settings");
        site.until_asked(&token, 2).await;
        gateway.send("newsite", "54321", &[&rooms[0]], "e", serde_json::json!([n])).await;
        assert_eq!(visitor.event().await, serde_json::json!(["e", n]));
    }
}

#[tokio::test]
async fn no_users_name_leads_to_another_address() {
    let site = Site::start().await;
    let gateway = Gateway::start(&format!(
        "sites:\n  open:\n    apiKey: 54321\n    open: true\n    updateUserUrl: {}/users/:id\n",
        site.url()
    ))
    .await;
    for user in ["..", ".", "%2e%2e", "...", "ann"] {
        let query = format!("&user={user}");
        drop(Visitor::connect(gateway.address, "open", "", &query).await.unwrap());
    }
    let paths = || site.all().into_iter().map(|asked| asked.path).collect::<Vec<_>>();
    // "%2e%2e" is ".." by the time that it is read.
    until("the site to hear of all others", || {
        ["/users/...", "/users/ann"]
            .iter()
            .all(|user| paths().iter().filter(|path| *path == user).count() == 2)
    })
    .await;
    assert_eq!(paths().len(), 4, "{:?}", paths());
}
