//! Data that event clients ask for, fetched from a site by templates of URLs.
//!
//! ```text
//! {"event":"data:get:order","id":7} ──▶ GET http://site/orders/7 ──▶ {"event":"data:set:order","data":…}
//! ```
//!
//! In: templates by what they answer, messages that ask. Out: the JSON that the site answered with. A site that is slow
//! holds up its own clients only, and so many of them: each waits on its own, what runs at a time is bounded, and so is
//! what an answer may hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::Url;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokensocket_server::events::{DataRequest, EventOptions};
use tokensocket_server::{ErrorCode, Identity, RawJson, RpcError};
use tokio::sync::Semaphore;

use super::client::{SiteClient, body, with_causes};

/// The template for whatever has none of its own.
const OTHERS: &str = "*";
/// What stands in a template for that which is asked for: all behind the event's `:get:`.
const NAME: &str = "name";
/// How many requests of one site may run at a time.
const AT_ONCE: usize = 64;
/// How many may wait for one of these; one more is not answered.
const WAITING: usize = 1024;
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How a client's own credentials are sent along, if it has any.
pub(crate) type Authorize = Arc<dyn Fn(&Identity) -> Option<HeaderValue> + Send + Sync>;

/// Why an event is not answered. The client is not told; the log is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NoData {
    #[error("the message has no field {0:?} that could stand in a URL")]
    Field(String),
    #[error("the URL is none")]
    Url,
    #[error("too many wait for this site's data")]
    Busy,
    #[error("the site answered {0}")]
    Status(StatusCode),
    #[error("the answer is not JSON")]
    NotJson,
    #[error("the site did not answer: {0}")]
    Unreachable(String),
}

impl From<NoData> for RpcError {
    fn from(why: NoData) -> Self {
        let code = match why {
            NoData::Field(_) | NoData::Url => ErrorCode::BadRequest,
            NoData::Busy => ErrorCode::Overloaded,
            NoData::Status(_) | NoData::NotJson | NoData::Unreachable(_) => ErrorCode::Internal,
        };
        Self::text(why.to_string()).with_code(code)
    }
}

/// A site's sources of data.
#[derive(Clone)]
pub(crate) struct DataSources {
    templates: BTreeMap<String, Template>,
    fetcher: Arc<Fetcher>,
}

impl DataSources {
    /// `templates` by what they answer: `thing` for `data:get:thing`, `user:get:name` for that event, and `*` for all
    /// others. In the path and the query of each, `:name` stands for what is asked for, and `:field` for a field of the
    /// message. `authorize` says what stands in `Authorization`.
    pub(crate) fn new(client: SiteClient, templates: BTreeMap<String, String>, authorize: Authorize) -> Self {
        let templates = templates.into_iter().map(|(name, text)| (name, Template::new(text))).collect();
        let fetcher =
            Fetcher { client, authorize, running: Semaphore::new(AT_ONCE), waiting: Semaphore::new(WAITING) };
        Self { templates, fetcher: Arc::new(fetcher) }
    }

    /// Has an endpoint answer from these.
    pub(crate) fn apply(self, options: EventOptions) -> EventOptions {
        self.templates.into_iter().fold(options, |options, (name, template)| {
            let (template, fetcher) = (Arc::new(template), Arc::clone(&self.fetcher));
            let source = move |request: DataRequest| {
                let (template, fetcher) = (Arc::clone(&template), Arc::clone(&fetcher));
                async move { fetcher.answer(&template, &request).await.map_err(RpcError::from) }
            };
            if name == OTHERS { options.other_data(source) } else { options.data_source(&name, source) }
        })
    }
}

impl fmt::Debug for DataSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSources").field("names", &self.templates.keys()).finish_non_exhaustive()
    }
}

struct Fetcher {
    client: SiteClient,
    authorize: Authorize,
    running: Semaphore,
    waiting: Semaphore,
}

impl Fetcher {
    async fn answer(&self, template: &Template, request: &DataRequest) -> Result<RawJson, NoData> {
        let fields: Map<String, Value> = request.message().parse().unwrap_or_default();
        let url = template.fill(request.name(), &fields)?;
        let url = Url::parse(&url).map_err(|_| NoData::Url)?;
        let waiting = self.waiting.try_acquire().map_err(|_| NoData::Busy)?;
        let fetching = async {
            let _running = self.running.acquire().await.map_err(|_| NoData::Busy)?;
            drop(waiting);
            self.fetch(url, request.socket().identity()).await
        };
        let late = || NoData::Unreachable("it took too long".to_owned());
        tokio::time::timeout(TIMEOUT, fetching).await.map_err(|_| late())?
    }

    async fn fetch(&self, url: Url, identity: &Identity) -> Result<RawJson, NoData> {
        let mut asking = self.client.get(url).header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(credentials) = (self.authorize)(identity) {
            asking = asking.header(AUTHORIZATION, credentials);
        }
        // Not with the URL, which may hold what is nobody's business.
        let response =
            asking.send().await.map_err(|error| NoData::Unreachable(with_causes(&error.without_url())))?;
        if response.status() != StatusCode::OK {
            return Err(NoData::Status(response.status()));
        }
        let body =
            body(response, MAX_ANSWER).await.map_err(|error| NoData::Unreachable(error.to_string()))?;
        // Without the whitespace around it.
        let data: &RawValue = serde_json::from_slice(&body).map_err(|_| NoData::NotJson)?;
        RawJson::from_text(data.get().to_owned()).map_err(|_| NoData::NotJson)
    }
}

/// A URL with names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    /// What stands before each name, and the name.
    parts: Vec<(String, String)>,
    end: String,
}

impl Template {
    fn new(text: String) -> Self {
        // Whose server it is, is not for clients to say.
        let authority = text.find("://").map_or(0, |at| at + 3);
        let path = text[authority..].find(['/', '?']).map_or(text.len(), |at| authority + at);
        let (mut parts, mut begun, mut rest) = (Vec::new(), path, path);
        while let Some(colon) = text[rest..].find(':').map(|at| rest + at) {
            let name = &text[colon + 1..];
            let length =
                name.find(|next: char| !next.is_ascii_alphanumeric() && next != '_').unwrap_or(name.len());
            rest = colon + 1 + length;
            if name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
                let before = if parts.is_empty() { &text[..colon] } else { &text[begun..colon] };
                parts.push((before.to_owned(), name[..length].to_owned()));
                begun = rest;
            }
        }
        if parts.is_empty() {
            return Self { parts, end: text };
        }
        Self { end: text[begun..].to_owned(), parts }
    }

    /// The URL for a message with these fields that asks for `asked`.
    fn fill(&self, asked: &str, fields: &Map<String, Value>) -> Result<String, NoData> {
        let mut url = String::new();
        for (before, name) in &self.parts {
            url.push_str(before);
            let value = match fields.get(name) {
                _ if name == NAME => asked.to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                _ => return Err(NoData::Field(name.clone())),
            };
            // Nothing, or a step up, would be another path than the one that was configured.
            if value.bytes().all(|byte| byte == b'.') {
                return Err(NoData::Field(name.clone()));
            }
            push_encoded(&mut url, &value);
        }
        url.push_str(&self.end);
        Ok(url)
    }
}

/// Appends what stands for itself in any part of a URL (RFC 3986, section 2.3) as it is, and all else by its bytes.
fn push_encoded(url: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            use fmt::Write;
            // A `String` takes all of it.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str, message: &Value) -> Result<String, NoData> {
        Template::new(template.to_owned()).fill("thing", message.as_object().unwrap())
    }

    #[test]
    fn fills_a_template_from_the_message() {
        let message = json!({ "event": "data:get:thing", "id": 7, "of": "a/b ?é", "all": true, "name": "x" });
        for (template, expected) in [
            ("http://a:80/b", "http://a:80/b"),
            ("http://a:80", "http://a:80"),
            ("http://a:80/:name", "http://a:80/thing"),
            ("http://a/:id/:of?all=:all&t=12:30", "http://a/7/a%2Fb%20%3F%C3%A9?all=true&t=12:30"),
            ("http://:id.example/:id:id.json", "http://:id.example/77.json"),
            ("http://a?x=:id", "http://a?x=7"),
        ] {
            assert_eq!(filled(template, &message).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn refuses_what_would_lead_elsewhere() {
        for id in [json!(null), json!([1]), json!({}), json!(""), json!("."), json!("..")] {
            assert_eq!(
                filled("http://a/:id", &json!({ "id": id })),
                Err(NoData::Field("id".to_owned())),
                "{id}"
            );
        }
        assert_eq!(filled("http://a/:id", &json!({})), Err(NoData::Field("id".to_owned())));
        let url = filled("http://a/b/:id", &json!({ "id": "../../c#d@e:1" })).unwrap();
        assert_eq!(Url::parse(&url).unwrap().path(), "/b/..%2F..%2Fc%23d%40e%3A1");
    }
}
