//! The kinds of receivers, and what each puts around a frame.

use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;

use super::response::{Connection, Response};
use super::service::Session;
use crate::limit::{QUIET, within};

/// The frame for a receiver that comes while there is one.
pub const SECOND_RECEIVER: &str = r#"c[2010,"Another connection still open"]"#;

/// A kind of receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// One frame for each request.
    Xhr,
    /// A stream of lines.
    XhrStreaming,
    /// A stream of events.
    EventSource,
    /// A stream of scripts.
    HtmlFile,
    /// A script for each request.
    Jsonp,
}

impl Receiver {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Xhr, Self::XhrStreaming, Self::EventSource, Self::HtmlFile, Self::Jsonp];
    /// Those whose responses carry many frames.
    pub const STREAMING: [Self; 3] = [Self::XhrStreaming, Self::EventSource, Self::HtmlFile];
    /// Those whose responses carry one frame.
    pub const POLLING: [Self; 2] = [Self::Xhr, Self::Jsonp];

    /// Whether a response ends behind its first frame.
    pub fn polls(self) -> bool {
        Self::POLLING.contains(&self)
    }

    /// The method and the last part of the path, with the query.
    pub fn request(self) -> (&'static str, &'static str) {
        match self {
            Self::Xhr => ("POST", "xhr"),
            Self::XhrStreaming => ("POST", "xhr_streaming"),
            Self::EventSource => ("GET", "eventsource"),
            Self::HtmlFile => ("GET", "htmlfile?c=%63allback"),
            Self::Jsonp => ("GET", "jsonp?c=%63allback"),
        }
    }

    /// What `Content-Type` says.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Xhr | Self::XhrStreaming | Self::Jsonp => "application/javascript; charset=UTF-8",
            Self::EventSource => "text/event-stream",
            Self::HtmlFile => "text/html; charset=UTF-8",
        }
    }

    /// A frame within what this kind puts around it. What characters are escaped beyond need is left open:
    /// [`Attached::frame`] reads them all.
    pub fn framed(self, frame: &str) -> String {
        let quoted = serde_json::Value::from(frame);
        match self {
            Self::Xhr | Self::XhrStreaming => format!("{frame}\n"),
            Self::EventSource => format!("data: {}\r\n\r\n", frame.replace('%', "%25")),
            Self::HtmlFile => format!("<script>\np({quoted});\n</script>\r\n"),
            Self::Jsonp => format!("/**/callback({quoted});\r\n"),
        }
    }

    /// The frame within a chunk.
    pub fn unframed(self, chunk: &str) -> String {
        let within = |before: &str, after: &str| {
            let inner = chunk.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            inner.unwrap_or_else(|| panic!("{self:?} got {chunk:?}"))
        };
        let quoted = |text: &str| {
            assert!(!text.contains('<'), "a script could end within {text:?}");
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
        };
        match self {
            Self::Xhr | Self::XhrStreaming => within("", "\n").to_owned(),
            Self::EventSource => within("data: ", "\r\n\r\n").replace("%25", "%"),
            Self::HtmlFile => quoted(within("<script>\np(", ");\n</script>\r\n")),
            Self::Jsonp => quoted(within("/**/callback(", ");\r\n")),
        }
    }

    /// What a response begins with: the whole chunk must be right.
    fn check_prelude(self, chunk: &str) {
        match self {
            Self::XhrStreaming => assert_eq!(chunk, format!("{}\n", "h".repeat(2048))),
            Self::EventSource => assert_eq!(chunk, "\r\n"),
            Self::HtmlFile => {
                assert_eq!(chunk.trim(), PAGE.trim());
                assert!(chunk.len() > 1024 && chunk.ends_with("\r\n\r\n"), "{chunk:?}");
            }
            Self::Xhr | Self::Jsonp => panic!("a poll begins with its frame"),
        }
    }

    /// Attaches to a session, where there is a frame to come.
    pub async fn attach(self, session: &Session) -> Attached {
        let (method, last) = self.request();
        let response = session.request(method, last).send(session.address).await;
        self.attached(response).await
    }

    /// Attaches to a session where there is no frame yet. A poll may be without an answer until there is.
    pub async fn attach_waiting(self, session: &Session) -> Attached {
        if !self.polls() {
            return self.attach(session).await;
        }
        let (method, last) = self.request();
        let mut connection = session.request(method, last).begin(session.address).await;
        // Nothing tells when a server has taken a poll.
        let came = tokio::time::timeout(QUIET, connection.fill_buf()).await;
        assert!(came.is_err() || came.is_ok_and(|came| came.is_ok_and(|bytes| !bytes.is_empty())));
        Attached { receiver: self, state: State::Waiting(connection) }
    }

    /// Opens a session, and waits as its receiver.
    pub async fn open(self, session: &Session) -> Attached {
        let mut attached = self.attach(session).await;
        attached.expect("o").await;
        if !self.polls() {
            return attached;
        }
        attached.expect_end().await;
        self.attach_waiting(session).await
    }

    /// Takes over a response whose head was read.
    pub async fn attached(self, mut response: Response) -> Attached {
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.header("Content-Type").as_deref(), Some(self.content_type()));
        if !self.polls() {
            let prelude = response.chunk().await.expect("a prelude");
            self.check_prelude(&prelude);
        }
        Attached { receiver: self, state: State::Answered(response) }
    }

    /// Attaches, and expects one frame and the end: a poll.
    pub async fn poll(self, session: &Session) -> String {
        let mut attached = self.attach(session).await;
        let frame = attached.frame().await;
        attached.expect_end().await;
        frame
    }
}

/// A receiver whose response goes on.
#[derive(Debug)]
pub struct Attached {
    receiver: Receiver,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting(Connection),
    Answered(Response),
    Moving,
}

impl Attached {
    /// Its response, as soon as there is one.
    pub async fn response(&mut self) -> &mut Response {
        self.state = match std::mem::replace(&mut self.state, State::Moving) {
            State::Waiting(connection) => {
                let response = within("an answer to a poll", Response::read(connection)).await;
                self.receiver.attached(response).await.state
            }
            state => state,
        };
        match &mut self.state {
            State::Answered(response) => response,
            state => panic!("{state:?} after an answer"),
        }
    }

    /// The next frame: one chunk.
    pub async fn frame(&mut self) -> String {
        self.frame_or_end().await.expect("a frame")
    }

    /// The next frame, if the response does not end.
    pub async fn frame_or_end(&mut self) -> Option<String> {
        let chunk = self.response().await.chunk().await;
        chunk.map(|chunk| self.receiver.unframed(&chunk))
    }

    /// The next frame is this one, in the framing that the protocol text has.
    pub async fn expect(&mut self, frame: &str) {
        let chunk = self.receiver.framed(frame);
        self.response().await.expect(&chunk).await;
    }

    /// The response ends.
    pub async fn expect_end(&mut self) {
        self.response().await.expect_end().await;
    }

    /// The connection, wherever the response is.
    pub fn abandon(self) -> TcpStream {
        match self.state {
            State::Waiting(connection) => connection.into_inner(),
            State::Answered(response) => response.abandon(),
            State::Moving => panic!("its response was never awaited to its end"),
        }
    }
}

/// The page that `htmlfile` begins with, for the function `callback`.
const PAGE: &str = r#"<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.callback;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>
"#;
