//! Which request each entry came of, so that its acknowledgement is logged with the request's name.
//!
//! In: entries as they are kept, acknowledgements. Out: lines in the log, at the level `debug`, and counts. Remembers the
//! last few thousand entries of named requests, and none while nobody reads such lines: it is for people who search,
//! and decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Acknowledge, Appended, Device, Queued};

/// So many entries are remembered.
const MOST: usize = 16_384;
/// Of a message to more devices than this, none is.
const MOST_AT_ONCE: usize = 1_024;

/// What of deliveries is told to people.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    noted: Mutex<Noted>,
    accepted: AtomicU64,
    acknowledged: AtomicU64,
}

#[derive(Debug, Default)]
struct Noted {
    requests: BTreeMap<(Device, u64), Arc<str>>,
    /// In the order in which they came, those that are gone among them.
    order: VecDeque<(Device, u64)>,
}

/// What an acknowledgement is about: sequence numbers and their requests.
pub(crate) type Taken = Vec<(u64, Arc<str>)>;

impl Requests {
    /// A message was kept.
    pub(crate) fn kept(&self, request: Option<&Arc<str>>, appended: &Appended) {
        let devices = u64::try_from(appended.queued.len()).unwrap_or(u64::MAX);
        self.accepted.fetch_add(devices, Ordering::Relaxed);
        let Some(request) = request.filter(|_| tracing::enabled!(tracing::Level::DEBUG)) else { return };
        for (device, queued) in &appended.queued {
            let (user, device) = (&*device.user, &*device.id);
            match queued {
                Queued::At(seq) => tracing::debug!(%request, user, device, seq, "kept"),
                Queued::Overflowed { .. } => tracing::debug!(%request, user, device, "the queue overflowed"),
            }
        }
        self.note(request, appended);
    }

    /// Remembers whose entries these are.
    fn note(&self, request: &Arc<str>, appended: &Appended) {
        if appended.queued.len() > MOST_AT_ONCE {
            return;
        }
        let mut noted = self.noted.lock();
        for (device, queued) in &appended.queued {
            let Queued::At(seq) = *queued else { continue };
            let place = (device.clone(), seq);
            noted.requests.insert(place.clone(), Arc::clone(request));
            noted.order.push_back(place);
        }
        while noted.order.len() > MOST {
            if let Some(oldest) = noted.order.pop_front() {
                noted.requests.remove(&oldest);
            }
        }
    }

    /// A device acknowledges: whose entries these are.
    pub(crate) fn take(&self, device: &Device, what: Acknowledge) -> Taken {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let mut noted = self.noted.lock();
        if noted.requests.is_empty() {
            return Taken::new();
        }
        let (first, last) = match what {
            Acknowledge::One(seq) => (seq, seq),
            Acknowledge::Through(seq) => (0, seq),
        };
        let range = (device.clone(), first)..=(device.clone(), last);
        let seqs: Vec<u64> = noted.requests.range(range).map(|((_, seq), _)| *seq).collect();
        seqs.into_iter()
            .filter_map(|seq| Some((seq, noted.requests.remove(&(device.clone(), seq))?)))
            .collect()
    }

    /// The store has taken the acknowledgement.
    pub(crate) fn acknowledged(device: &Device, taken: &Taken) {
        let (user, device) = (&*device.user, &*device.id);
        for (seq, request) in taken {
            tracing::debug!(%request, user, device, seq, "acknowledged");
        }
    }

    /// How many entries were kept, and how many acknowledgements came, so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.accepted.load(Ordering::Relaxed), self.acknowledged.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: usize) -> Device {
        Device { user: "ann".into(), id: id.to_string().into() }
    }

    fn appended(entries: impl IntoIterator<Item = (usize, u64)>) -> Appended {
        let queued = entries.into_iter().map(|(id, seq)| (device(id), Queued::At(seq))).collect();
        Appended { queued, duplicate: false }
    }

    #[test]
    fn an_acknowledgement_finds_the_requests_of_what_it_is_about_once() {
        let requests = Requests::default();
        for (request, seq) in [("a", 1), ("b", 2), ("c", 3)] {
            requests.note(&request.into(), &appended([(0, seq), (1, seq)]));
        }
        let names = |taken: Taken| -> Vec<String> {
            taken.iter().map(|(seq, request)| format!("{seq}{request}")).collect()
        };
        assert_eq!(names(requests.take(&device(0), Acknowledge::Through(2))), ["1a", "2b"]);
        assert_eq!(names(requests.take(&device(0), Acknowledge::Through(3))), ["3c"]);
        assert_eq!(names(requests.take(&device(1), Acknowledge::One(2))), ["2b"]);
        assert_eq!(names(requests.take(&device(1), Acknowledge::One(2))), [""; 0]);
        assert_eq!(names(requests.take(&device(1), Acknowledge::Through(9))), ["1a", "3c"]);
        assert_eq!(requests.counts(), (0, 5));
    }

    #[test]
    fn remembers_no_more_than_the_latest() {
        let requests = Requests::default();
        let all = u64::try_from(MOST).unwrap_or(u64::MAX) + 10;
        for seq in 1..=all {
            requests.note(&"r".into(), &appended([(0, seq)]));
        }
        assert_eq!(requests.noted.lock().requests.len(), MOST);
        assert!(requests.take(&device(0), Acknowledge::One(10)).is_empty());
        assert_eq!(requests.take(&device(0), Acknowledge::One(11)).len(), 1);
        requests.note(&"r".into(), &appended((0..=MOST_AT_ONCE).map(|id| (id, all + 1))));
        assert!(
            requests.take(&device(0), Acknowledge::One(all + 1)).is_empty(),
            "so many at once are not noted"
        );
    }
}
