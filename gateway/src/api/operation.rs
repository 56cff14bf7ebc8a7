//! An operation of `/api/v1`: its path, what it takes, what it answers, and the function that does it.
//!
//! In: functions, each with a type for what it is asked and one for its answer. Out: a table in which a request finds its
//! operation, and which says everything that the description of the API says. So neither can be without the other.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use http::header::HeaderMap;
use http::{HeaderName, Method};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use tokensocket_server::Server;

use super::Api;
use super::answer::{Answer, LINES, Output, wants_lines};
use super::body::{self, Length};
use super::problem::{Kind, Problem};
use super::query::Query;
use super::request_id::RequestId;
use crate::site::Site;

/// Makes a command safe to send again.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Who asks, and for which site.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) api: Arc<Api>,
    pub(super) site: Arc<Site>,
    pub(super) id: RequestId,
    /// The header's.
    pub(super) key: Option<String>,
    pub(super) in_lines: bool,
}

/// What is asked.
pub(super) enum Source {
    Query(Query),
    Body(Bytes),
}

type Run = dyn Fn(Caller, Source) -> BoxFuture<'static, Result<Answer, Problem>> + Send + Sync;
type Describe = fn(&mut SchemaGenerator) -> Schema;

/// One of the table.
pub(super) struct Operation {
    pub(super) method: Method,
    /// Below the API's prefix. One part may be a parameter: `{name}`.
    pub(super) path: &'static str,
    /// What it is called in descriptions and batches.
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) takes: Describe,
    pub(super) answers: Describe,
    pub(super) answers_lines: fn(&mut SchemaGenerator) -> Option<Schema>,
    /// The largest body, in bytes.
    limit: usize,
    pub(super) takes_lines: bool,
    /// Whether it may be one of a batch.
    pub(super) is_command: bool,
    /// Whether something is kept by it.
    keeps: bool,
    length: Length,
    run: Box<Run>,
}

impl Operation {
    /// A question: what is asked stands in the query.
    pub(super) fn get<I, O, F, Fut>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        run: F,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Output + 'static,
        F: Fn(Caller, I) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Problem>> + Send + 'static,
    {
        let takes: Describe = |generator| I::json_schema(generator);
        Self { method: Method::GET, is_command: false, takes, ..Self::post(path, name, summary, run) }
    }

    /// The end of something that a path names.
    pub(super) fn delete<I, O, F, Fut>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        run: F,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Output + 'static,
        F: Fn(Caller, I) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Problem>> + Send + 'static,
    {
        let takes: Describe = |generator| I::json_schema(generator);
        Self { method: Method::DELETE, is_command: false, takes, ..Self::post(path, name, summary, run) }
    }

    /// A command: what is asked is the body.
    pub(super) fn post<I, O, F, Fut>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        run: F,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Output + 'static,
        F: Fn(Caller, I) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Problem>> + Send + 'static,
    {
        let run = move |caller: Caller, source: Source| {
            let run = run.clone();
            async move {
                let asked: I = source.read()?;
                let (in_lines, id) = (caller.in_lines, caller.id.clone());
                run(caller, asked).await?.answer(in_lines, &id)
            }
            .boxed()
        };
        Self {
            method: Method::POST,
            path,
            name,
            summary,
            takes: |generator| generator.subschema_for::<I>(),
            answers: O::schema,
            answers_lines: O::line_schema,
            limit: body::COMMAND,
            takes_lines: false,
            is_command: true,
            keeps: false,
            length: Length::Short,
            run: Box::new(run),
        }
    }

    /// Something is kept by it, which a site that is about to forget must not promise.
    pub(super) fn that_keeps(self) -> Self {
        Self { keeps: true, ..self }
    }

    /// It goes to other nodes, or is kept where they keep things: while an engine is away, it may wait for that.
    pub(super) fn that_waits(self) -> Self {
        Self { length: Length::Outage, ..self }
    }

    /// Many commands in one: a larger body, in lines too, and never within another.
    pub(super) fn of_many(self) -> Self {
        Self { limit: body::BATCH, takes_lines: true, is_command: false, ..self }
    }

    pub(super) fn length(&self) -> Length {
        self.length
    }

    pub(super) fn has_body(&self) -> bool {
        self.method == Method::POST
    }

    /// How large the body may be, if it is of a kind that is understood. A page's form is not: then no page could have
    /// a browser send it elsewhere unasked.
    pub(super) fn check_media_type(&self, headers: &HeaderMap) -> Result<usize, Problem> {
        match body::media_type(headers).as_deref() {
            Some("application/json") => Ok(self.limit),
            Some(LINES) if self.takes_lines => Ok(self.limit),
            _ => Err(Problem::new(Kind::UnsupportedMediaType, "send `Content-Type: application/json`")),
        }
    }

    pub(super) fn run(&self, caller: Caller, source: Source) -> BoxFuture<'static, Result<Answer, Problem>> {
        if !self.keeps {
            return (self.run)(caller, source);
        }
        let site = Arc::clone(&caller.site);
        if site.forgets() {
            return ready(Err(forgets())).boxed();
        }
        let running = (self.run)(caller, source);
        async move {
            let answer = running.await?;
            if site.forgets() { Err(forgets()) } else { Ok(answer) }
        }
        .boxed()
    }
}

/// The answer of a site that would throw away what it is given.
pub(super) fn forgets() -> Problem {
    Problem::new(Kind::Overloaded, "this site begins anew: send it again in a moment")
}

impl Source {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        match self {
            Self::Query(query) => query.read(),
            Self::Body(bytes) => serde_json::from_slice(bytes)
                .map_err(|error| Problem::bad_request(format!("this cannot be understood: {error}"))),
        }
    }
}

impl Caller {
    pub(super) fn new(api: Arc<Api>, site: Arc<Site>, id: RequestId, headers: &HeaderMap) -> Self {
        let key = headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()).map(str::to_owned);
        Self { api, site, id, key, in_lines: wants_lines(headers) }
    }

    pub(super) fn server(&self) -> &Server {
        self.site.server()
    }

    /// The caller of one command of a batch: sent again with the same key, each is recognised.
    pub(super) fn of_command(&self, at: usize) -> Self {
        let key = self.key.as_ref().map(|key| format!("{key}:{at}"));
        Self { key, in_lines: false, ..self.clone() }
    }
}

/// All operations.
pub(super) struct Table(Vec<Operation>);

/// What a path has beside its pattern.
pub(super) enum Parameter<'p> {
    None,
    /// The name in the pattern, and what stands in its place.
    Named(&'static str, &'p str),
}

impl Table {
    pub(super) fn new(operations: Vec<Operation>) -> Self {
        Self(operations)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.iter()
    }

    /// The operation for a request. `Err(None)`: nothing is there; `Err(Some(methods))`: not by this method.
    pub(super) fn find<'p>(
        &self,
        method: &Method,
        path: &'p str,
    ) -> Result<(&Operation, Parameter<'p>), Option<String>> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let mut allowed = Vec::new();
        for operation in &self.0 {
            let Some(parameter) = parameters(operation.path, path) else { continue };
            if operation.method == *method {
                return Ok((operation, parameter));
            }
            allowed.push(operation.method.as_str());
        }
        Err((!allowed.is_empty()).then(|| allowed.join(", ")))
    }

    /// The command of this name.
    pub(super) fn command(&self, name: &str) -> Option<&Operation> {
        self.0.iter().find(|operation| operation.is_command && operation.name == name)
    }
}

/// Whether a path is such a one. Then what it has in place of the name in the pattern.
fn parameters<'p>(pattern: &'static str, path: &'p str) -> Option<Parameter<'p>> {
    let Some((before, name)) = pattern.split_once('{') else {
        return (pattern == path).then_some(Parameter::None);
    };
    let value = path.strip_prefix(before)?;
    let name = name.strip_suffix('}')?;
    (!value.is_empty() && !value.contains('/')).then_some(Parameter::Named(name, value))
}
