//! The API's description (`OpenAPI` 3.1), made from the table of operations and the types that they take and answer.
//!
//! In: the table. Out: one JSON document, which needs no key: it says nothing of any site.

use std::sync::OnceLock;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderValue};
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::PREFIX;
use super::answer::LINES;
use super::operation::{IDEMPOTENCY_KEY, Operation, Table};
use super::problem::{Details, PROBLEM_JSON};

/// Where it is, below the API's prefix.
pub(super) const PATH: &str = "/openapi.json";

const DESCRIPTION: &str = "What an application asks of a TokenSocket gateway. Each request is for one site, with one \
     of its keys. Lists are pages of JSON, or with `Accept: application/x-ndjson` everything, line by line, of which \
     the last is `{\"end\":…}`. Every answer names its request in `X-Request-Id`.";

/// The description.
pub(super) fn respond(table: &Table) -> Response {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = TEXT.get_or_init(|| serde_json::to_vec_pretty(&describe(table)).unwrap_or_default().into());
    let mut response = Response::new(text.clone().into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn describe(table: &Table) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Details>();
    let mut paths: Map<String, Value> = Map::new();
    for operation in table.iter() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] =
            describe_one(operation, &problem, &mut generator);
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "TokenSocket gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": PREFIX }],
        "security": [{ "bearer": [] }, { "query": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "One of the site's keys." },
                "query": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "apiKey",
                    "description": "The same, where no header can be set. Logs of addresses keep it.",
                },
            },
        },
    })
}

fn describe_one(operation: &Operation, problem: &Schema, generator: &mut SchemaGenerator) -> Value {
    let takes = (operation.takes)(generator);
    let mut parameters = vec![json!({
        "name": "site",
        "in": "query",
        "description": "Which site. Not needed where there is only one.",
        "schema": { "type": "string" },
    })];
    let mut answer = json!({ "application/json": { "schema": (operation.answers)(generator) } });
    if let Some(line) = (operation.answers_lines)(generator) {
        answer[LINES] = json!({ "schema": line });
    }
    let mut described = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {
            "200": { "description": "Done.", "content": answer },
            "default": {
                "description": "It was not done, or it is not known whether it was.",
                "content": { PROBLEM_JSON: { "schema": problem } },
            },
        },
    });
    if operation.method == Method::POST {
        let mut content = json!({ "application/json": { "schema": takes } });
        if operation.takes_lines {
            content[LINES] = json!({ "schema": { "description": "A command on each line." } });
        }
        described["requestBody"] = json!({ "required": true, "content": content });
        parameters.push(json!({
            "name": IDEMPOTENCY_KEY.as_str(),
            "in": "header",
            "description": "Makes it safe to publish or deliver again, as the field `key` does.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 128 },
        }));
    } else {
        parameters.extend(parameters_of(operation.path, &takes));
    }
    described["parameters"] = parameters.into();
    described
}

/// What a type of a query says about each of its fields.
fn parameters_of(path: &str, takes: &Schema) -> Vec<Value> {
    let takes = takes.as_value();
    let required: Vec<&str> =
        takes["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = takes["properties"].as_object() else { return Vec::new() };
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let description = schema["description"].take();
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("description");
        }
        // What is left out of a query is not there, rather than null.
        if let Some([kind, _]) = schema["type"].as_array().map(Vec::as_slice) {
            schema["type"] = kind.clone();
        }
        let in_path = path.contains(&format!("{{{name}}}"));
        json!({
            "name": name,
            "in": if in_path { "path" } else { "query" },
            "required": in_path || required.contains(&name.as_str()),
            "description": description,
            "schema": schema,
        })
    };
    properties.iter().map(parameter).collect()
}
