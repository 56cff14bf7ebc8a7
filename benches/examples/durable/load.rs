//! So many callers, each with one request at a time.
//!
//! In: something to ask. Out: how many answers came in a second, and how long they took.

use std::error::Error;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// How many devices, or channels, requests are spread over.
pub(crate) const DEVICES: usize = 2_000;
/// The size of a message.
pub(crate) const BYTES: usize = 256;

/// An error that can be told from any task.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Something to ask.
pub(crate) trait Target: Clone + Send + Sync + 'static {
    /// What one request does.
    const WHAT: &'static str;

    /// One request, for this device. Resolves when it is answered.
    fn ask(&self, device: usize) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What so many callers got.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) callers: usize,
    pub(crate) per_second: f64,
    pub(crate) p50_micros: u64,
    pub(crate) p99_micros: u64,
}

/// Has `callers` ask for as long, and counts what is answered after the warm-up.
pub(crate) async fn run<T: Target>(
    target: &T,
    callers: usize,
    warm_up: Duration,
    seconds: Duration,
) -> Result<Figure, Failure> {
    let begin = Instant::now() + warm_up;
    let end = begin + seconds;
    let asking: Vec<_> = (0..callers)
        .map(|caller| {
            let target = target.clone();
            tokio::spawn(async move {
                let mut latencies = Histogram::<u64>::new(3)?;
                // Neighbours go to different devices.
                let mut device = caller * 7919;
                loop {
                    device = (device + 1_013) % DEVICES;
                    let asked = Instant::now();
                    if asked >= end {
                        return Ok::<_, Failure>(latencies);
                    }
                    target.ask(device).await?;
                    let answered = Instant::now();
                    if answered >= begin && answered < end {
                        let micros = answered.duration_since(asked).as_micros();
                        latencies.record(u64::try_from(micros)?.max(1))?;
                    }
                }
            })
        })
        .collect();
    let mut all = Histogram::<u64>::new(3)?;
    for caller in asking {
        all.add(caller.await??)?;
    }
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    let per_second = all.len() as f64 / seconds.as_secs_f64();
    Ok(Figure {
        what: T::WHAT.to_owned(),
        callers,
        per_second,
        p50_micros: all.value_at_quantile(0.5),
        p99_micros: all.value_at_quantile(0.99),
    })
}

/// The message: text, as JSON has it.
pub(crate) fn message() -> String {
    "m".repeat(BYTES)
}
