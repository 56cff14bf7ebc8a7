//! All nodes are asked, and those who answer in time are heard.
//!
//! In: what is asked, and for how long. Out: the answers as one, and how many there were. Who is silent costs its
//! answer and the time, never more.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokensocket_protocol::{Channel, RawJson};
use tokio::time::{Instant, timeout_at};

use super::answering::json;
use super::asking::{Asking, Heard};
use super::message::{Ask, Failure, Message, Question};
use super::survey::{
    ChannelInfo, ChannelQuery, Followed, Item, Listed, Merge, Page, SocketQuery, Surveyed, Totals,
};
use crate::broker::{BrokerError, Control};
use crate::node::Node;
use crate::socket::SocketInfo;
use crate::store::StoreError;

impl Node {
    pub(crate) async fn survey_sockets(
        self: &Arc<Self>,
        query: SocketQuery,
        within: Duration,
    ) -> Result<Surveyed<Listed<SocketInfo>>, BrokerError> {
        let merge = Merge::new(query.limit);
        let surveyed = self.survey_pages(Question::Sockets(query), within, merge).await?;
        Ok(surveyed)
    }

    pub(crate) async fn survey_channels(
        self: &Arc<Self>,
        query: ChannelQuery,
        within: Duration,
    ) -> Result<Surveyed<Listed<ChannelInfo>>, BrokerError> {
        let merge = Merge::<Followed>::new(query.limit);
        let Surveyed { value: Listed { items, more }, answered, asked } =
            self.survey_pages(Question::Channels(query), within, merge).await?;
        let named =
            |(name, sockets): Followed| Some(ChannelInfo { channel: Channel::new(name).ok()?, sockets });
        let items = items.into_iter().filter_map(named).collect();
        Ok(Surveyed { value: Listed { items, more }, answered, asked })
    }

    pub(crate) async fn survey_totals(
        self: &Arc<Self>,
        within: Duration,
    ) -> Result<Surveyed<Totals>, BrokerError> {
        let mut value = Totals::default();
        let add = |totals: Totals| value.add(&totals);
        let (answered, asked) = self.survey(Question::Totals {}, within, add).await?;
        Ok(Surveyed { value, answered, asked })
    }

    async fn survey_pages<T: Item + DeserializeOwned>(
        self: &Arc<Self>,
        question: Question,
        within: Duration,
        mut merge: Merge<T>,
    ) -> Result<Surveyed<Listed<T>>, BrokerError> {
        let (answered, asked) = self.survey(question, within, |page: Page<T>| merge.add(page)).await?;
        let (items, more) = merge.finish();
        Ok(Surveyed { value: Listed { items, more }, answered, asked })
    }

    /// Asks all nodes. Says how many answered, and how many there are.
    async fn survey<T: DeserializeOwned>(
        self: &Arc<Self>,
        question: Question,
        within: Duration,
        mut take: impl FnMut(T),
    ) -> Result<(usize, usize), BrokerError> {
        let Ok(_permit) = self.peers.surveys.try_acquire() else {
            return Err(BrokerError::TooMany("surveys"));
        };
        let deadline = Instant::now() + within;
        let others = self.peers.roster.lock().ids();
        let asked = others.len() + 1;
        let mut asking =
            Asking::of(self, others, false).ok_or(BrokerError::TooMany("questions to other nodes"))?;
        let mut is_asked = asked > 1;
        if is_asked {
            let ask = Some(Ask { number: asking.number(), question: json(&question) });
            let control = Control::Node(json(&Message { ask, ..Message::of(self.id) }));
            match timeout_at(deadline, self.broker.control(control)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a survey did not leave this node");
                    // Nobody answers what nobody was asked.
                    is_asked = matches!(error, BrokerError::Store(StoreError::Timeout));
                }
                Err(_) => tracing::debug!("a survey did not leave this node in time"),
            }
        }
        let mut answered = 0;
        let mut took = |answer: Result<RawJson, Failure>| match answer.map(|answer| answer.parse()) {
            Ok(Ok(answer)) => {
                take(answer);
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a node of another version answers what is not understood here");
                false
            }
            Err(failure) => {
                tracing::debug!(?failure, "a node has no answer to a survey");
                false
            }
        };
        answered += usize::from(took(self.answer_here(question).await));
        while is_asked && let Ok(Some((_, heard))) = timeout_at(deadline, asking.next()).await {
            if let Heard::Answer(answer) = heard {
                answered += usize::from(took(answer.read()));
            }
        }
        Ok((answered, asked))
    }
}
