//! From what is known of a client to the identity that the server keeps.
//!
//! In: the names of rooms as the site gives them, or a user. Out: an identity whose rooms and user are named as
//! everywhere in here, or a refusal. Who has no room of his own is a user of its own for each connection.

use http::HeaderValue;
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokensocket_server::Identity;

use super::refusal::Refused;
use crate::config::SiteConfig;

/// The longest name of a room or user, in bytes, and the most rooms, as the server takes them.
const MAX_NAME: usize = 256;
const MAX_ROOMS: usize = 1_024;

/// What is kept with a client's connections and shown to nobody.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Private {
    /// What the client's own requests to the site are authorized with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorization: Option<String>,
}

/// What the client brought, to be sent along when the site is told something of it.
pub(super) fn authorization(identity: &Identity) -> Option<HeaderValue> {
    let text = identity.parse::<Private>().ok()?.authorization?;
    let mut value =
        HeaderValue::from_str(&text).ok().or_else(|| HeaderValue::from_bytes(text.as_bytes()).ok())?;
    value.set_sensitive(true);
    Some(value)
}

/// What is known of a client.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The user, where that does not follow from the rooms.
    pub(super) user: Option<String>,
    /// As the site names them.
    pub(super) rooms: Vec<String>,
    /// What others may know.
    pub(super) public: Option<serde_json::Value>,
    /// What the client's own requests to the site are authorized with.
    pub(super) authorization: Option<String>,
}

impl Known {
    /// The identity on this site.
    pub(super) fn on(self, config: &SiteConfig) -> Result<Identity, Refused> {
        let mut rooms: Vec<String> = self.rooms.iter().map(|room| super::room(config, room)).collect();
        let mut user = self.user;
        if let Some(prefix) = &config.user_room_prefix {
            let id = |room: &String| {
                room.strip_prefix(prefix.as_str()).filter(|id| !id.is_empty()).map(str::to_owned)
            };
            if let Some(user) = &user {
                // Signed tokens name the user, whose room is the prefix and that.
                rooms.insert(0, format!("{prefix}{user}"));
            }
            user = user.or_else(|| self.rooms.iter().find_map(id));
            let public = config.public_channel.as_ref().map(|name| super::room(config, name));
            if user.is_none() && !public.is_some_and(|public| rooms.contains(&public)) {
                return Err(Refused::NoPrivateRoom);
            }
        }
        rooms.sort_unstable();
        rooms.dedup();
        let names = rooms.iter().chain(&user);
        if rooms.len() > MAX_ROOMS || !names.into_iter().all(|name| (1..=MAX_NAME).contains(&name.len())) {
            return Err(Refused::Unknown("the site names rooms that are empty, too long or too many"));
        }
        let identity = Identity::new(Private { authorization: self.authorization });
        let identity = match user {
            Some(user) => identity.user(user),
            None => identity.user(format!("~{:032x}", rand::rng().random::<u128>())).passing(),
        };
        let identity = identity.rooms(rooms);
        Ok(match self.public {
            Some(public) => identity.public(public),
            None => identity,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    fn site(prefix: Option<&str>, public: Option<&str>) -> SiteConfig {
        SiteConfig {
            user_room_prefix: prefix.map(str::to_owned),
            public_channel: public.map(str::to_owned),
            ..SiteConfig::open("a")
        }
    }

    fn known(rooms: &[&str]) -> Known {
        Known { rooms: rooms.iter().map(|&room| room.to_owned()).collect(), ..Known::default() }
    }

    fn rooms(identity: &Identity) -> Vec<&str> {
        identity.room_names().iter().map(|room| &**room).collect()
    }

    #[test]
    fn the_user_is_what_stands_behind_the_prefix_whatever_it_holds() {
        let identity = known(&["Staff", "user_a_B", "STAFF"]).on(&site(Some("user_"), None)).unwrap();
        assert_eq!(identity.user_id().map(|id| &**id), Some("a_B"));
        assert_eq!(rooms(&identity), ["staff", "user_a_B"]);
        assert!(!identity.is_passing());
    }

    #[test]
    fn no_shared_room_becomes_anothers_private_room_by_its_case() {
        let identity = known(&["user_1", "USER_2", "Staff"]).on(&site(Some("user_"), None)).unwrap();
        assert_eq!(rooms(&identity), ["USER_2", "staff", "user_1"]);
    }

    #[test]
    fn a_private_room_is_required_where_there_is_a_prefix() {
        let config = site(Some("user_"), Some("browse"));
        for list in [&["staff"][..], &[], &["user_"], &["xuser_1"], &["User_1"]] {
            assert_eq!(known(list).on(&config).unwrap_err(), Refused::NoPrivateRoom, "{list:?}");
        }
        let public = known(&["browse"]).on(&config).unwrap();
        assert!(public.is_passing());
        let other = known(&["browse"]).on(&config).unwrap();
        assert_ne!(public.user_id(), other.user_id());
        assert!(known(&["anything"]).on(&site(None, None)).unwrap().is_passing());
    }

    #[test]
    fn a_named_user_has_its_private_room() {
        let known = Known { user: Some("8".to_owned()), ..known(&["staff"]) };
        let identity = known.on(&site(Some("user_"), None)).unwrap();
        assert_eq!(rooms(&identity), ["staff", "user_8"]);
        assert_eq!(identity.user_id().map(|id| &**id), Some("8"));
    }

    #[test]
    fn rooms_that_nobody_could_use_are_refused() {
        let many: Vec<String> = (0..=MAX_ROOMS).map(|room| room.to_string()).collect();
        for rooms in [vec![String::new()], vec!["x".repeat(MAX_NAME + 1)], many] {
            assert!(matches!(
                Known { rooms, ..Known::default() }.on(&site(None, None)),
                Err(Refused::Unknown(_))
            ));
        }
    }

    #[test]
    fn the_authorization_is_kept_as_it_came() {
        let known = Known { authorization: Some("Bearer tökén".to_owned()), ..known(&[]) };
        let identity = known.on(&site(None, None)).unwrap();
        assert_eq!(authorization(&identity).unwrap().as_bytes(), "Bearer tökén".as_bytes());
        assert!(authorization(&Identity::anonymous()).is_none());
    }
}
