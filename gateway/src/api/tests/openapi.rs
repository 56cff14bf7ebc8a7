//! The API's description.

use std::collections::HashSet;

use serde_json::Value;

use super::Gateway;
use crate::api::commands;
use crate::api::problem::Kind;

/// Every link in it.
fn links(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("$ref", Value::String(link)) => drop(found.insert(link.clone())),
                    _ => links(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| links(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn describes_every_operation_and_nothing_else() {
    let gateway = Gateway::start().await;
    let answer = gateway.get("/api/v1/openapi.json").send().await;
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut described = 0;
    let mut names = HashSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described += 1;
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
            assert!(!operation["summary"].as_str().unwrap().is_empty());
            assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object());
            let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            assert!(answer.is_object(), "{path}");
            assert_eq!(operation["requestBody"].is_object(), method == "post", "{path}");
            for parameter in operation["parameters"].as_array().unwrap() {
                assert!(!parameter["description"].as_str().unwrap().is_empty(), "{path} {parameter}");
                assert!(parameter["schema"].is_object());
            }
            // What is described is there: without a key it is refused, not unknown.
            let target = format!("/api/v1{}?site=newsite", path.replace("{socket}", "1"));
            let asked = super::Request::new(gateway.address, &method.to_uppercase(), &target).send().await;
            assert_eq!(asked.problem().0, 401, "{method} {path}");
        }
    }
    assert_eq!(described, commands::table().iter().count());

    let mut found = HashSet::new();
    links(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for link in found {
        let place = link.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{link} leads nowhere");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas.contains_key("Batch") && schemas.contains_key("MemberPage"));
    let unnamed = schemas.keys().find(|name| name.ends_with(|end: char| end.is_ascii_digit()));
    assert_eq!(unnamed, None, "two types of one name");
    let post = super::Request::new(gateway.address, "POST", "/api/v1/openapi.json").send().await;
    assert_eq!(post.problem().0, 405);
}

#[tokio::test]
async fn names_the_fields_of_queries_and_paths() {
    let gateway = Gateway::start().await;
    let document = gateway.get("/api/v1/openapi.json").send().await.json();
    let parameters = |path: &str, method: &str| -> Vec<String> {
        let parameters = document["paths"][path][method]["parameters"].as_array().unwrap().iter();
        let text = |parameter: &Value| {
            let required = if parameter["required"] == true { "!" } else { "" };
            format!("{}:{}{required}", parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap())
        };
        let mut parameters: Vec<String> = parameters.map(text).collect();
        parameters.sort();
        parameters
    };
    assert_eq!(
        parameters("/history", "get"),
        ["query:channel!", "query:epoch", "query:limit", "query:offset", "query:reverse", "query:site"]
    );
    assert_eq!(parameters("/sockets/{socket}", "delete"), ["path:socket!", "query:site"]);
    assert_eq!(parameters("/publish", "post"), ["header:idempotency-key", "query:site"]);
}

#[test]
fn kinds_of_problems_have_names_of_their_own() {
    let names: HashSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    assert!(Kind::ALL.iter().all(|kind| kind.status().is_client_error() || kind.status().is_server_error()));
}
