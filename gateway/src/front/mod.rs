//! The front: one listener, and each request to whom it belongs.
//!
//! ```text
//! /socket.io                                              Socket.IO clients, of all sites
//! /{site}/socket/token, /{site}/sockets, /{site}/events   that site's server, which sees the path without /{site}
//! /socket/token, /sockets, /events                        the site at the plain paths; for /events, see its `eventsPath`
//! everything else                                         others: the API, the pages
//! ```
//!
//! In: requests. Out: responses, and connections that go on as something else. It must not know what a site is asked.

mod accept;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body_util::Either;
use hyper::body::Incoming;
use tokensocket_server::ResponseBody;
use tokensocket_server::socketio::SocketIo;
use tower_service::Service;

use crate::config::EVENTS_PATH;
use crate::site::{Site, Sites};

pub(crate) use accept::accept;

/// What a site's server has at its paths.
const OWN: [&str; 2] = ["/socket/token", "/sockets"];

/// Sends each request where it belongs; `others` gets what is no site's.
#[derive(Clone)]
pub(crate) struct Front<S> {
    sites: Sites,
    io: SocketIo,
    others: S,
}

/// Whose a path is.
enum Owner<'a> {
    SocketIo,
    /// What the path is there.
    Site(Arc<Site>, &'a str),
    Others,
}

impl<S> Front<S> {
    pub(crate) fn new(sites: Sites, io: SocketIo, others: S) -> Self {
        Self { sites, io, others }
    }

    fn owner<'a>(&self, path: &'a str) -> Owner<'a> {
        if self.io.owns(path) {
            return Owner::SocketIo;
        }
        let named = below(path).and_then(|(name, rest)| Some((self.sites.get(name)?, rest)));
        match named.or_else(|| self.sites.plain().map(|site| (site, path))) {
            Some((site, rest)) if rest == site.config().events_path => Owner::Site(site, EVENTS_PATH),
            Some((site, rest)) if is_own(rest) => Owner::Site(site, rest),
            _ => Owner::Others,
        }
    }
}

/// The name of a site and what stands behind it, if the path is not a plain one.
fn below(path: &str) -> Option<(&str, &str)> {
    if is_own(path) {
        return None;
    }
    let name = path.strip_prefix('/')?;
    let end = name.find('/')?;
    Some(name.split_at(end))
}

fn is_own(path: &str) -> bool {
    OWN.iter().any(|own| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

impl<S, B> Service<Request<Incoming>> for Front<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>,
    B: 'static,
{
    type Response = Response<Either<ResponseBody, B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let (site, path) = match self.owner(request.uri().path()) {
            Owner::SocketIo => {
                let answered = self.io.clone().into_service().call(request);
                return Box::pin(async move { Ok(answered.await?.map(Either::Left)) });
            }
            Owner::Others => {
                let answered = self.others.call(request);
                return Box::pin(async move { Ok(answered.await?.map(Either::Right)) });
            }
            Owner::Site(site, path) => (site, path),
        };
        if let Some(uri) = with_path(request.uri(), path) {
            *request.uri_mut() = uri;
        }
        let answered = site.server().clone().into_service().call(request);
        Box::pin(async move { Ok(answered.await?.map(Either::Left)) })
    }
}

/// The same address with another path.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_sites_or_a_plain_one() {
        assert_eq!(below("/newsite/sockets/info"), Some(("newsite", "/sockets/info")));
        assert_eq!(below("/newsite/socket/token"), Some(("newsite", "/socket/token")));
        assert_eq!(below("/sockets/000/abc/xhr"), None);
        assert_eq!(below("/socket/token"), None);
        assert_eq!(below("/healthcheck"), None);
        assert!(is_own("/sockets/") && !is_own("/socketsx") && !is_own("/socket"));
    }
}
