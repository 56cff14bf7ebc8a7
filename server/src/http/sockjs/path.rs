//! The paths of a SockJS endpoint (SockJS protocol 0.3.3, "Session URLs").

use super::info::is_iframe;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path<'a> {
    Greeting,
    Info,
    Iframe,
    RawWebSocket,
    /// One of a session's transports.
    Session(&'a str, Transport),
}

/// How a request serves its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    WebSocket,
    Xhr,
    XhrSend,
    XhrStreaming,
    EventSource,
    HtmlFile,
    Jsonp,
    JsonpSend,
}

impl<'a> Path<'a> {
    /// Reads what stands behind the endpoint's prefix, as the client wrote it.
    pub(super) fn parse(rest: &'a str) -> Option<Self> {
        if matches!(rest, "" | "/") {
            return Some(Self::Greeting);
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest).strip_prefix('/')?;
        let mut segments = rest.split('/');
        let found = match (segments.next()?, segments.next(), segments.next()) {
            ("info", None, None) => Self::Info,
            ("websocket", None, None) => Self::RawWebSocket,
            (page, None, None) if is_iframe(page) => Self::Iframe,
            (server, Some(session), Some(transport)) if is_name(server) && is_name(session) => {
                Self::Session(session, Transport::parse(transport)?)
            }
            _ => return None,
        };
        segments.next().is_none().then_some(found)
    }

    /// The methods it answers to, as the header `Allow` has them.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Greeting | Self::Iframe => "GET, HEAD",
            Self::Info => "OPTIONS, GET, HEAD",
            Self::RawWebSocket => "GET",
            Self::Session(_, transport) => transport.methods(),
        }
    }
}

impl Transport {
    fn parse(segment: &str) -> Option<Self> {
        Some(match segment {
            "websocket" => Self::WebSocket,
            "xhr" => Self::Xhr,
            "xhr_send" => Self::XhrSend,
            "xhr_streaming" => Self::XhrStreaming,
            "eventsource" => Self::EventSource,
            "htmlfile" => Self::HtmlFile,
            "jsonp" => Self::Jsonp,
            "jsonp_send" => Self::JsonpSend,
            _ => return None,
        })
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Xhr | Self::XhrSend | Self::XhrStreaming => "POST, OPTIONS",
            Self::JsonpSend => "POST",
            Self::WebSocket | Self::EventSource | Self::HtmlFile | Self::Jsonp => "GET",
        }
    }
}

/// Whether a text can name a server or a session: not empty, and without dots.
fn is_name(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_stands_at_a_path() {
        let session = |transport| Some(Path::Session("s", transport));
        for (rest, path) in [
            ("", Some(Path::Greeting)),
            ("/", Some(Path::Greeting)),
            ("/info", Some(Path::Info)),
            ("/info/", Some(Path::Info)),
            ("/websocket", Some(Path::RawWebSocket)),
            ("/iframe.html", Some(Path::Iframe)),
            ("/iframe-0.1.2abc-dirty.2144.html", Some(Path::Iframe)),
            ("/000/s/xhr", session(Transport::Xhr)),
            ("/000/s/jsonp_send/", session(Transport::JsonpSend)),
            ("/abc%20/s/htmlfile", session(Transport::HtmlFile)),
        ] {
            assert_eq!(Path::parse(rest), path, "{rest}");
        }
        for rest in [
            "/a",
            "/a.html",
            "//",
            "///",
            "/a/a",
            "/a/a/",
            "/a/",
            "/a./a/xhr",
            "/a/a./xhr",
            "/././xhr",
            "//a/xhr",
            "/a//xhr",
            "/a/a/xhr/x",
            "/a/a/xhr//",
            "/info//",
            "/iframe.htm",
            "/iframe",
            "/IFRAME.html",
            "/iframe.HTML",
            "/iframe-/.html",
            "/iframe*.html",
        ] {
            assert_eq!(Path::parse(rest), None, "{rest}");
        }
    }
}
