//! A gateway's HTTP face, for the commands that use it: where it is, what opens it, and one request at a time.
//!
//! In: options, a path and what to say there. Out: the answer's JSON, or an error that says what to look at. It must
//! not know what is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::try_join_all;
use humantime::{format_duration, parse_duration};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::serve;
use crate::config::{self, Mistaken, Settings, SiteConfig};

/// Longer answers are none that a command here asks for.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Of an answer that is no JSON, this much is worth repeating.
const MAX_WORDS: usize = 300;

/// Where a gateway is, when nobody says it.
const USUAL_URL: &str = "http://127.0.0.1:1337";

/// Where a gateway is.
#[derive(Args)]
#[command(next_help_heading = "Gateway")]
pub(super) struct Place {
    /// The gateway: http or https [default: `http://127.0.0.1:1337`]
    #[arg(long, value_name = "URL", env = "TOKENSOCKET_URL", hide_env = true)]
    url: Option<String>,
    /// How long to wait for it, as 500ms, 5s or 2m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    timeout: Duration,
}

/// A gateway, and what opens it.
#[derive(Args)]
#[command(next_help_heading = "Gateway")]
pub(super) struct Gateway {
    #[command(flatten)]
    place: Place,
    /// The site; not needed where there is only one
    #[arg(long, value_name = "NAME", env = "TOKENSOCKET_SITE", hide_env = true)]
    pub(super) site: Option<String>,
    /// The site's API key; better in the environment, where other users of this machine do not see it
    #[arg(long, value_name = "KEY", env = "TOKENSOCKET_KEY", hide_env = true, hide_env_values = true)]
    key: Option<String>,
    /// The gateway's configuration, which says where it is and has the sites' keys; give it again for more files
    #[arg(long, value_name = "PATH", env = "TOKENSOCKET_CONFIG", hide_env = true, value_delimiter = ',')]
    config: Vec<PathBuf>,
}

/// What opens one site.
struct Access {
    /// `None`: the only one.
    site: Option<String>,
    key: Option<String>,
}

/// Why there is no answer, or none that helps.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatewayError {
    /// The options describe no address.
    #[error("{url} is no address of a gateway: {why}\nWrite it like http://127.0.0.1:1337")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The configuration that should say where it is has mistakes.
    #[error(transparent)]
    Configuration(#[from] Mistaken),
    /// The configuration has several sites, or none of that name.
    #[error("{0}\n--site says which; `tokensocket check` lists them")]
    Site(String),
    /// There is no TLS to be had.
    #[error("TLS cannot be used here: {0}")]
    Tls(String),
    /// The gateway answered, and would not.
    #[error("{url} answered {status}: {words}{}", hint(*.status))]
    Refused {
        /// The gateway.
        url: String,
        /// The status of its answer.
        status: StatusCode,
        /// What it said.
        words: String,
    },
    /// Something answered that is no gateway.
    #[error("{url} is no gateway of this kind: {why}")]
    Strange {
        /// What was asked.
        url: String,
        /// What is strange about the answer.
        why: String,
    },
    /// Nobody was found, or the connection broke off.
    #[error("cannot reach {url}: {why}\n`tokensocket serve` starts a gateway; --url says where it is")]
    Unreachable {
        /// The gateway.
        url: String,
        /// What happened.
        why: String,
    },
    /// The time is up.
    #[error("no answer from {url} within {}; --timeout gives it longer", format_duration(*timeout))]
    Timeout {
        /// The gateway.
        url: String,
        /// How long it had.
        timeout: Duration,
    },
}

/// What to do about a refusal, where that can be known.
fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "\n--site and --key, or TOKENSOCKET_SITE and TOKENSOCKET_KEY, say which site and with which key"
        }
        _ => "",
    }
}

/// What a problem's answer says of it (RFC 9457), as far as it is of interest here.
#[derive(Default, Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    error: Option<Value>,
}

impl Place {
    /// A client for this place. Nothing is sent.
    pub(super) fn open(&self) -> Result<OpenPlace, GatewayError> {
        let url = self.url.clone().unwrap_or_else(|| USUAL_URL.to_owned());
        OpenPlace::new(url, self.timeout)
    }
}

/// A place that may be asked again and again.
pub(super) struct OpenPlace {
    /// As it was given.
    url: String,
    base: Url,
    timeout: Duration,
    client: Client,
}

impl OpenPlace {
    fn new(url: String, timeout: Duration) -> Result<Self, GatewayError> {
        let wrong = |why: String| GatewayError::Address { url: url.clone(), why };
        let base = Url::parse(&url).map_err(|error| wrong(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong(format!("{} is not http or https", base.scheme())));
        }
        let client = client(base.scheme() == "https", timeout)?;
        Ok(Self { url, base, timeout, client })
    }

    /// As it was given.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn address(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request and reads all of the answer, if it is a good one.
    async fn answer(&self, request: RequestBuilder) -> Result<Vec<u8>, GatewayError> {
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                GatewayError::Timeout { url: self.url.clone(), timeout: self.timeout }
            } else {
                GatewayError::Unreachable { url: self.url.clone(), why: with_causes(&error.without_url()) }
            }
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(self.strange("its answer has no end"));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body);
        }
        Err(GatewayError::Refused { url: self.url.clone(), status, words: words(&body) })
    }

    fn json<T: DeserializeOwned>(&self, answer: &[u8]) -> Result<T, GatewayError> {
        serde_json::from_slice(answer).map_err(|error| self.strange(error.to_string()))
    }

    fn strange(&self, why: impl Into<String>) -> GatewayError {
        GatewayError::Strange { url: self.url.clone(), why: why.into() }
    }

    /// The text at a path.
    pub(super) async fn text(&self, path: &str) -> Result<String, GatewayError> {
        let answer = self.answer(self.client.get(self.address(path, &[]))).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn client(secure: bool, timeout: Duration) -> Result<Client, GatewayError> {
    let failed = |error: &dyn std::error::Error| GatewayError::Tls(with_causes(error));
    let builder = Client::builder().redirect(Policy::none()).timeout(timeout);
    let builder = if secure {
        // Another one that is installed already does as well.
        let _ = ring::default_provider().install_default();
        builder
    } else {
        // Without TLS nobody asks for certificates, and in a container there may be none.
        let provider = Arc::new(ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(|error| failed(&error))?;
        let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        builder.tls_backend_preconfigured(tls)
    };
    builder.build().map_err(|error| failed(&error))
}

impl Gateway {
    /// A connection that several requests may share. Nothing is sent. Blocks while a configuration is read.
    pub(super) fn open(&self) -> Result<OpenGateway, GatewayError> {
        let settings = self.settings()?;
        let listen = settings.as_ref().and_then(|settings| settings.listen);
        let given = self.place.url.clone().or_else(|| listen.map(serve::url));
        let place = OpenPlace::new(given.unwrap_or_else(|| USUAL_URL.to_owned()), self.place.timeout)?;
        Ok(OpenGateway { place, accesses: self.accesses(settings)? })
    }

    fn settings(&self) -> Result<Option<Settings>, GatewayError> {
        if self.config.is_empty() {
            return Ok(None);
        }
        let loaded = config::load(&self.config, |name| std::env::var(name).ok());
        loaded.settings.map(Some).ok_or(GatewayError::Configuration(Mistaken(loaded.mistakes)))
    }

    /// What is to be opened: what the options say, or else all sites of the configuration.
    fn accesses(&self, settings: Option<Settings>) -> Result<Vec<Access>, GatewayError> {
        let given = || Access { site: self.site.clone(), key: self.key.clone() };
        let Some(settings) = settings.filter(|_| self.key.is_none()) else { return Ok(vec![given()]) };
        let wanted = |name: &str| self.site.as_ref().is_none_or(|site| site == name);
        let sites = settings.sites.into_iter().filter(|site| wanted(&site.name));
        let access = |site: SiteConfig| Access {
            key: site.api_keys.first().map(|key| key.expose().to_owned()),
            site: Some(site.name),
        };
        let accesses: Vec<Access> = sites.map(access).collect();
        match &self.site {
            Some(site) if accesses.is_empty() => {
                Err(GatewayError::Site(format!("the configuration has no site {site}")))
            }
            _ => Ok(accesses),
        }
    }
}

/// A gateway that may be asked again and again.
pub(super) struct OpenGateway {
    place: OpenPlace,
    /// At least one.
    accesses: Vec<Access>,
}

impl OpenGateway {
    /// Where it is.
    pub(super) fn url(&self) -> &str {
        self.place.url()
    }

    /// Whether there is a key to open it with.
    pub(super) fn has_key(&self) -> bool {
        self.accesses.iter().any(|access| access.key.is_some())
    }

    /// The JSON at a path, for the site.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, GatewayError> {
        let request = self.request(self.only()?, Method::GET, path, query);
        self.place.json(&self.place.answer(request).await?)
    }

    /// The JSON at a path, for each of the sites.
    pub(super) async fn get_all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, GatewayError> {
        let answers = self.accesses.iter().map(|access| {
            let request = self.request(access, Method::GET, path, &[]);
            async { self.place.json(&self.place.answer(request).await?) }
        });
        try_join_all(answers).await
    }

    /// The JSON that posting some of it is answered with.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<T, GatewayError> {
        self.place.json(&self.posted(path, query, body).await?)
    }

    /// What posting JSON is answered with, whatever it is.
    pub(super) async fn posted(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Vec<u8>, GatewayError> {
        let request = self.request(self.only()?, Method::POST, path, query);
        let request = request.header("content-type", "application/json").body(body.to_string());
        self.place.answer(request).await
    }

    /// What opens the one site that is meant.
    fn only(&self) -> Result<&Access, GatewayError> {
        match &*self.accesses {
            [access] => Ok(access),
            several => {
                let names: Vec<&str> = several.iter().filter_map(|access| access.site.as_deref()).collect();
                Err(GatewayError::Site(format!("the configuration has several sites: {}", names.join(", "))))
            }
        }
    }

    fn request(&self, access: &Access, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let site = access.site.as_deref().map(|site| ("site", site));
        let query: Vec<_> = site.into_iter().chain(query.iter().copied()).collect();
        let request = self.place.client.request(method, self.place.address(path, &query));
        match &access.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

/// What an answer that is an error says.
fn words(body: &[u8]) -> String {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let error = problem.error.map(|error| match error {
        Value::String(text) => text,
        other => other.to_string(),
    });
    if let Some(words) = problem.detail.or(problem.title).or(error) {
        return words;
    }
    match String::from_utf8_lossy(body).trim() {
        "" => "nothing more".to_owned(),
        text => text.chars().take(MAX_WORDS).collect(),
    }
}

/// An error with what it was caused by, which is where the useful part of a network error stands.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    fn open(url: &str) -> Result<OpenPlace, GatewayError> {
        OpenPlace::new(url.to_owned(), Duration::from_secs(1))
    }

    #[test]
    fn a_gateway_may_be_below_a_path() {
        let address = |url: &str| open(url).unwrap().address("/send", &[("site", "a b"), ("resync", "true")]);
        assert_eq!(address("http://h:1337").as_str(), "http://h:1337/send?site=a+b&resync=true");
        assert_eq!(address("https://h/push/").as_str(), "https://h/push/send?site=a+b&resync=true");
        for wrong in ["h:1337", "ws://h", "", "/send"] {
            assert!(matches!(open(wrong), Err(GatewayError::Address { .. })), "{wrong}");
        }
    }

    #[test]
    fn an_error_says_what_the_gateway_said() {
        for (body, expected) in [
            (r#"{"title":"Not Found","detail":"no site newsite","status":404}"#, "no site newsite"),
            (r#"{"title":"Not Found","status":404}"#, "Not Found"),
            (r#"{"error":"there is nothing at this path"}"#, "there is nothing at this path"),
            ("ApiKey invalid.", "ApiKey invalid."),
            ("", "nothing more"),
        ] {
            assert_eq!(words(body.as_bytes()), expected);
        }
    }
}
