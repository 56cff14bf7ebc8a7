//! Who a socket belongs to: what the authenticator returned, kept with the token.
//!
//! In: any serializable value, and what the server itself has to know of a user. Out: the same as JSON and text,
//! so that a token store on another machine can keep it too.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokensocket_protocol::RawJson;

/// The longest user id or name of a room, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// The most rooms of one user.
const MAX_ROOMS: usize = 1024;

/// The authenticated user of a socket. Read it in a handler with [`crate::Auth`].
#[derive(Debug, Clone)]
pub struct Identity {
    data: Result<RawJson, String>,
    /// Most applications that need no user have none: one pointer for each idle socket.
    known: Option<Arc<Known>>,
}

/// What the server has to know.
#[derive(Debug, Clone, Default)]
struct Known {
    user: Option<Arc<str>>,
    rooms: Vec<Arc<str>>,
    public: Option<RawJson>,
    passing: bool,
    wrong: Option<String>,
}

/// The same as it is kept outside of this process.
#[derive(Serialize, Deserialize)]
struct Portable {
    data: RawJson,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rooms: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<RawJson>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    passing: bool,
}

impl Identity {
    /// All of it as JSON, for a token store whose engine keeps bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let known = self.known.as_deref().cloned().unwrap_or_default();
        let Known { user, rooms, public, passing, .. } = known;
        let portable = Portable { data: self.data().clone(), user, rooms, public, passing };
        // Text, and JSON that is there already: nothing of it can fail.
        serde_json::to_vec(&portable).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        let Portable { data, user, rooms, public, passing } = serde_json::from_slice(json)?;
        let known = Known { user, rooms, public, passing, wrong: None };
        let says_nothing =
            known.user.is_none() && known.rooms.is_empty() && known.public.is_none() && !passing;
        Ok(Self { data: Ok(data), known: (!says_nothing).then(|| Arc::new(known)) })
    }

    /// Keeps `data`. A value that cannot be JSON makes the token request fail with status 500.
    pub fn new<T: Serialize>(data: T) -> Self {
        let data = RawJson::new(&data).map(|data| data.compact());
        let data = data.map_err(|error| format!("the identity is not JSON: {error}"));
        Self { data, known: None }
    }

    /// An identity that says nothing: JSON `null`.
    pub fn anonymous() -> Self {
        Self { data: Ok(RawJson::null()), known: None }
    }

    /// Names the user, 1 to 256 bytes. Sockets of one user may have several devices; see
    /// [`crate::Server::deliver`]. Without a user nothing can be delivered. A longer or empty id makes the token
    /// request fail with status 500.
    #[must_use]
    pub fn user(mut self, id: impl Into<Arc<str>>) -> Self {
        let id = id.into();
        let known = self.known();
        known.check("user id", &id);
        known.user = Some(id);
        self
    }

    /// Names the rooms that the user is in, at most 1,024, each of 1 to 256 bytes; see [`crate::To::room`]. They
    /// hold for all devices of the user, from the moment at which this socket has authenticated. Not known
    /// without a user.
    #[must_use]
    pub fn rooms<R: Into<Arc<str>>>(mut self, rooms: impl IntoIterator<Item = R>) -> Self {
        let rooms: Vec<Arc<str>> = rooms.into_iter().map(Into::into).collect();
        let known = self.known();
        for room in &rooms {
            known.check("room", room);
        }
        if rooms.len() > MAX_ROOMS {
            known.wrong = Some(format!("an identity has at most {MAX_ROOMS} rooms"));
        }
        known.rooms = rooms;
        self
    }

    /// Says that the user is this connection alone, under an id that nobody else has: whatever device its client
    /// names, its queue ends with the connection. For those who have no account, but are in rooms.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.known().passing = true;
        self
    }

    /// What others on a channel may know of this one; see [`crate::Presence`]. By default nothing: JSON `null`.
    #[must_use]
    pub fn public<T: Serialize>(mut self, info: T) -> Self {
        let known = self.known();
        match RawJson::new(&info) {
            Ok(info) => known.public = Some(info.compact()),
            Err(error) => known.wrong = Some(format!("the identity's public part is not JSON: {error}")),
        }
        self
    }

    /// The data as raw JSON.
    pub fn data(&self) -> &RawJson {
        static NULL: RawJson = RawJson::null();
        self.data.as_ref().unwrap_or(&NULL)
    }

    /// The data as a type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.data().parse()
    }

    /// The user's id, if [`Identity::user`] named one.
    pub fn user_id(&self) -> Option<&Arc<str>> {
        self.known.as_ref()?.user.as_ref()
    }

    /// The rooms that [`Identity::rooms`] named.
    pub fn room_names(&self) -> &[Arc<str>] {
        self.known.as_ref().map_or(&[], |known| &known.rooms)
    }

    /// What [`Identity::public`] said.
    pub fn public_part(&self) -> &RawJson {
        static NULL: RawJson = RawJson::null();
        self.known.as_ref().and_then(|known| known.public.as_ref()).unwrap_or(&NULL)
    }

    /// Whether [`Identity::passing`] was said.
    pub fn is_passing(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.passing)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = self.known.as_ref().and_then(|known| known.wrong.clone());
        wrong.map_or_else(|| self.data.as_ref().map(drop).map_err(Clone::clone), Err)
    }

    fn known(&mut self) -> &mut Known {
        Arc::make_mut(self.known.get_or_insert_default())
    }
}

impl Known {
    fn check(&mut self, what: &str, name: &str) {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            self.wrong = Some(format!("an identity's {what} has 1 to {MAX_NAME_BYTES} bytes"));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    #[test]
    fn says_what_it_was_told() {
        let identity = Identity::new("data").user("8").rooms(["a", "b"]).public(["Ann"]);
        assert_eq!(identity.parse::<String>().unwrap(), "data");
        assert_eq!(identity.user_id().map(|id| &**id), Some("8"));
        assert_eq!(identity.room_names().iter().map(|room| &**room).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(identity.public_part().as_str(), r#"["Ann"]"#);
        assert_eq!(identity.check(), Ok(()));
    }

    #[test]
    fn is_the_same_after_it_was_kept_elsewhere() {
        let all = [
            Identity::anonymous(),
            Identity::new(["data"]).user("8").rooms(["a", "b"]).public(["Ann"]),
            Identity::new(1).user("guest").passing(),
        ];
        for identity in all {
            let read = Identity::from_json(&identity.to_json()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{identity:?}"));
        }
        assert!(Identity::from_json(b"{}").is_err());
    }

    #[test]
    fn refuses_names_that_nobody_could_use() {
        assert!(Identity::anonymous().user("").check().is_err());
        assert!(Identity::anonymous().user("x".repeat(257)).check().is_err());
        assert!(Identity::anonymous().rooms([""]).check().is_err());
        assert!(Identity::anonymous().rooms((0..1025).map(|room| room.to_string())).check().is_err());
    }
}
