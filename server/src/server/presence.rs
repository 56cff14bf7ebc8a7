//! What a server's handle knows of who is on a channel.

use tokensocket_protocol::Channel;

use super::Server;
use crate::error::PresenceError;
use crate::presence::{Counts, Member};

impl Server {
    /// Everybody on a channel, oldest first. On a channel of very many, take pages by
    /// [`presence_page`](Server::presence_page), or the counts alone.
    pub async fn presence(&self, channel: impl AsRef<str>) -> Result<Vec<Member>, PresenceError> {
        self.presence_page(channel, None, usize::MAX).await
    }

    /// At most `limit` members of a channel: the oldest, or those after the member whose
    /// [`client`](Member::client) is `after`. [`StoreError::Gone`](crate::StoreError::Gone) when that one has
    /// left meanwhile: begin again.
    pub async fn presence_page(
        &self,
        channel: impl AsRef<str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Member>, PresenceError> {
        self.node().presence(&Channel::new(channel)?, after, limit).await
    }

    /// How many are on a channel. The same cost for a hundred thousand as for ten.
    pub async fn presence_counts(&self, channel: impl AsRef<str>) -> Result<Counts, PresenceError> {
        self.node().presence_counts(&Channel::new(channel)?).await
    }
}
