//! What an operation answers: JSON as a whole, or one line for each of many.
//!
//! In: values, lists. Out: bodies. A list is one page of JSON, `{"items":[…],…}`, or for `Accept:
//! application/x-ndjson` everything, a line for each item and a last one, `{"end":{…}}`, which says that nothing is
//! missing. It is written as fast as the caller reads.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use http::header::{self, HeaderMap, HeaderValue};
use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use warp::reply::Response;

use super::problem::{Details, Kind, Problem};
use super::request_id::RequestId;

/// The media type of a list in lines.
pub(super) const LINES: &str = "application/x-ndjson";
/// So many lines are written at once, if they are there.
const TOGETHER: usize = 64;

/// An answer that was made.
pub(super) enum Answer {
    /// One JSON text.
    Whole(Vec<u8>),
    /// A JSON text for each line.
    Lines(BoxStream<'static, Vec<u8>>),
}

/// What an operation's function may return.
pub(super) trait Output: Send {
    /// The answer, for this caller.
    fn answer(self, in_lines: bool, id: &RequestId) -> Result<Answer, Problem>;
    /// How it looks as a whole.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
    /// How each line looks.
    fn line_schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

/// One value.
pub(super) struct Json<T>(pub(super) T);

/// Many items, and what is to be said of all of them.
pub(super) struct Listing<T, E> {
    /// One after the other.
    items: BoxStream<'static, T>,
    /// Behind the last, unless the list broke off.
    end: Box<dyn FnOnce() -> Option<E> + Send>,
}

/// A page of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
struct Page<T, E> {
    /// What was asked for.
    items: Vec<T>,
    #[serde(flatten)]
    end: E,
}

/// The last line of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct End<E> {
    /// Nothing is missing.
    end: E,
}

/// A line of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Line")]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes lines that are written one by one")]
enum Line<T, E> {
    /// One of many.
    Item(T),
    /// The last line.
    End(End<E>),
}

impl<T, E> Listing<T, E> {
    pub(super) fn new(items: impl Stream<Item = T> + Send + 'static, end: E) -> Self
    where
        E: Send + 'static,
    {
        Self::ending(items, move || Some(end))
    }

    /// A list of whose end is known only then what is to be said. `None`: it broke off.
    pub(super) fn ending(
        items: impl Stream<Item = T> + Send + 'static,
        end: impl FnOnce() -> Option<E> + Send + 'static,
    ) -> Self {
        Self { items: items.boxed(), end: Box::new(end) }
    }

    pub(super) fn of(items: Vec<T>, end: E) -> Self
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        Self::new(stream::iter(items), end)
    }
}

impl<T: Serialize + JsonSchema + Send> Output for Json<T> {
    fn answer(self, _: bool, _: &RequestId) -> Result<Answer, Problem> {
        serde_json::to_vec(&self.0).map(Answer::Whole).map_err(|error| internal(&error))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

impl<T, E> Output for Listing<T, E>
where
    T: Serialize + JsonSchema + Send + 'static,
    E: Serialize + JsonSchema + Send + Sync + 'static,
{
    fn answer(self, in_lines: bool, _: &RequestId) -> Result<Answer, Problem> {
        if in_lines {
            let items = self.items.map(|item| line(&item));
            let end = self.end;
            let end = stream::once(async move { end().map(|end| line(&End { end })) });
            return Ok(Answer::Lines(items.chain(end.filter_map(ready)).boxed()));
        }
        // A page's items are there already.
        let items = futures_util::FutureExt::now_or_never(self.items.collect()).unwrap_or_default();
        let broke_off = || Problem::new(Kind::Overloaded, "the list broke off: try again later");
        let end = (self.end)().ok_or_else(broke_off)?;
        serde_json::to_vec(&Page { items, end }).map(Answer::Whole).map_err(|error| internal(&error))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Page<T, E>>()
    }

    fn line_schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<Line<T, E>>())
    }
}

/// What became of one command of several.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
pub(super) struct Outcome {
    /// The status that the command would have been answered with by itself.
    pub(super) status: u16,
    /// Its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(super) answer: Option<tokensocket_server::RawJson>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<Details>,
}

impl Outcome {
    pub(super) fn of(done: Result<Answer, Problem>, id: &RequestId) -> Self {
        match done {
            Ok(Answer::Whole(text)) => {
                Self { status: 200, answer: tokensocket_server::RawJson::from_text(text).ok(), problem: None }
            }
            Ok(Answer::Lines(_)) => Self { status: 200, answer: None, problem: None },
            Err(problem) => {
                let status = problem.status().as_u16();
                Self { status, answer: None, problem: Some(problem.details(id)) }
            }
        }
    }
}

impl Answer {
    pub(super) fn respond(self, id: &RequestId) -> Response {
        let (body, media_type) = match self {
            Self::Whole(text) => (Response::new(text.into()), "application/json"),
            Self::Lines(lines) => {
                let span = tracing::info_span!("lines", request = id.as_str());
                let pieces = Shared(Mutex::new(lines)).ready_chunks(TOGETHER).map(move |lines| {
                    let _entered = span.enter();
                    Ok::<_, Infallible>(Bytes::from(lines.concat()))
                });
                (warp::reply::Reply::into_response(warp::reply::stream(pieces)), LINES)
            }
        };
        let mut response = body;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        response
    }
}

/// A stream that may be shared, as a body has to be, and never is.
struct Shared(Mutex<BoxStream<'static, Vec<u8>>>);

impl Stream for Shared {
    type Item = Vec<u8>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.get_mut().poll_next_unpin(cx)
    }
}

/// Whether a caller wants lines rather than a page.
pub(super) fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|range| range.split(';').next().is_some_and(|range| range.trim().eq_ignore_ascii_case(LINES)))
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
    text.push(b'\n');
    text
}

fn internal(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer cannot be JSON");
    Problem::new(Kind::Internal, "the answer cannot be written as JSON")
}
