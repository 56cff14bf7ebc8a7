//! What concerns a device and its queue: its name, what a server tells it, what it acknowledges.

/// The longest name of a device, in bytes.
pub const MAX_DEVICE_BYTES: usize = 128;

/// What a device has of what was sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// This entry.
    One(u64),
    /// The batch with this last entry.
    Batch(u64),
    /// The resyncs up to this number.
    Resync(u64),
}

/// What a server tells a device before what it kept for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For how many seconds the device is remembered after its last connection ended.
    pub device_ttl: u64,
    /// The device's name: its own, or one made up for this connection.
    pub device: String,
    /// Names the run of its entries' numbers.
    pub epoch: String,
    /// The device was known.
    pub resumed: bool,
}

/// One entry of a device's queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery<P> {
    /// Its place in the queue.
    pub id: u64,
    /// The event's name.
    pub event: String,
    /// Its arguments, an array.
    pub args: P,
}

/// Why a device must fetch its whole state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResyncReason {
    /// An acknowledgement was not for the head of its event's queue.
    Order,
    /// The queue was full.
    Overflow,
    /// An entry was kept for as long as it may be, unacknowledged.
    Expired,
    /// The store lost entries, and knows it.
    Lost,
}

impl ResyncReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Order, Self::Overflow, Self::Expired, Self::Lost];

    /// The reason on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Overflow => "overflow",
            Self::Expired => "expired",
            Self::Lost => "lost",
        }
    }

    /// Reads a reason; `None` for one that this version does not know.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}
