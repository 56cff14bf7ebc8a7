//! The TokenSocket wire to one server in both its framings: every second
//! follower speaks it in SockJS frames, all other connections raw.

use super::{Dialect, Incoming, sockjs::Sockjs, tokensocket::Tokensocket};

/// One connection's framing.
#[derive(Clone, Debug)]
pub(crate) enum Mixed {
    Raw(Tokensocket),
    Sockjs(Sockjs),
}

impl Mixed {
    /// Raw, until a follower is to speak otherwise.
    pub(crate) fn new(wire: Tokensocket) -> Self {
        Self::Raw(wire)
    }
}

impl Dialect for Mixed {
    fn for_follower(&self, index: usize) -> Self {
        match self {
            Self::Raw(wire) if index % 2 == 1 => Self::Sockjs(Sockjs::new(wire.clone())),
            other => other.clone(),
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Raw(wire) => wire.path(),
            Self::Sockjs(framed) => framed.path(),
        }
    }

    fn token_path(&self) -> Option<&str> {
        match self {
            Self::Raw(wire) => wire.token_path(),
            Self::Sockjs(framed) => framed.token_path(),
        }
    }

    fn is_greeted(&self) -> bool {
        match self {
            Self::Raw(wire) => wire.is_greeted(),
            Self::Sockjs(framed) => framed.is_greeted(),
        }
    }

    fn authenticate(&self, token: Option<&str>, out: &mut String) -> bool {
        match self {
            Self::Raw(wire) => wire.authenticate(token, out),
            Self::Sockjs(framed) => framed.authenticate(token, out),
        }
    }

    fn call(&self, id: u64, data: &str, out: &mut String) {
        match self {
            Self::Raw(wire) => wire.call(id, data, out),
            Self::Sockjs(framed) => framed.call(id, data, out),
        }
    }

    fn subscribe(&self, id: u64, channel: &str, out: &mut String) {
        match self {
            Self::Raw(wire) => wire.subscribe(id, channel, out),
            Self::Sockjs(framed) => framed.subscribe(id, channel, out),
        }
    }

    fn publish(&self, id: u64, channel: &str, data: &str, out: &mut String) {
        match self {
            Self::Raw(wire) => wire.publish(id, channel, data, out),
            Self::Sockjs(framed) => framed.publish(id, channel, data, out),
        }
    }

    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming)) {
        match self {
            Self::Raw(wire) => wire.read(text, each),
            Self::Sockjs(framed) => framed.read(text, each),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_follower_frames_what_it_says() {
        let base = Mixed::new(Tokensocket {
            token_path: "/socket/token".into(),
            socket_prefix: "/sockets".into(),
            action: "echo".into(),
        });
        let framed: Vec<_> = (0..4).map(|index| base.for_follower(index).is_greeted()).collect();
        assert_eq!(framed, [false, true, false, true]);
        assert_eq!(base.path(), "/sockets/websocket");
    }
}
