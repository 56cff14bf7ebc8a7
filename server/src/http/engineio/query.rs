//! What a request's query says.

use tokensocket_protocol::engineio::{Refusal, Version};

/// A request's query, as far as it is Engine.IO's. Of two parameters of one name the first counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    eio: Option<String>,
    pub(super) transport: Option<Transport>,
    pub(super) sid: Option<String>,
    /// The client takes texts only.
    pub(super) base64: bool,
    /// The packets are to be a script, with this number.
    pub(super) jsonp: Option<String>,
}

/// What carries the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    WebSocket,
}

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
        let of = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let transport = match of("transport").as_deref() {
            Some("polling") => Some(Transport::Polling),
            Some("websocket") => Some(Transport::WebSocket),
            _ => None,
        };
        let jsonp = of("j");
        let base64 = jsonp.is_some() || of("b64").is_some_and(|value| !value.is_empty());
        Self { eio: of("EIO"), transport, sid: of("sid").filter(|sid| !sid.is_empty()), base64, jsonp }
    }

    /// The protocol of a session that begins. Who names none is taken for an old client, as by the npm server.
    pub(super) fn version(&self) -> Result<Version, Refusal> {
        self.eio
            .as_deref()
            .map_or(Ok(Version::V3), |eio| Version::parse(eio).ok_or(Refusal::UnsupportedVersion))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_ask() {
        let query = Query::parse("EIO=3&transport=polling&t=Oabc-1&b64=1&sid=a%2Db&token=x");
        assert_eq!(query.version(), Ok(Version::V3));
        assert_eq!(query.transport, Some(Transport::Polling));
        assert_eq!(query.sid.as_deref(), Some("a-b"));
        assert!(query.base64 && query.jsonp.is_none());
        let query = Query::parse("EIO=4&transport=websocket&j=0");
        assert_eq!(query.version(), Ok(Version::V4));
        assert_eq!((query.transport, query.sid), (Some(Transport::WebSocket), None));
        assert!(query.base64 && query.jsonp.as_deref() == Some("0"));
        assert_eq!(Query::parse("transport=polling").version(), Ok(Version::V3));
        assert_eq!(Query::parse("EIO=5&transport=webtransport").version(), Err(Refusal::UnsupportedVersion));
        assert_eq!(Query::parse("EIO=5&transport=webtransport").transport, None);
        assert_eq!(Query::parse("%%%").transport, None);
    }
}
