//! One world on a thread of its own.

use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use crate::host;
use crate::store::Sabotage;
use crate::story::{self, Verdict};

/// How much more memory than before a world may have at a time, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// How much it may leave behind: what a thread keeps for itself, such as its buffer for reading.
const MAX_LEFT: i64 = 512 << 10;

/// How long a world may take of real time. Most take some milliseconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// How worlds are run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Print every fact.
    pub aloud: bool,
    /// Break a promise on purpose.
    pub sabotage: Option<Sabotage>,
}

thread_local! {
    /// The panics of this thread's world, which tokio hides.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs the world of a seed.
pub fn simulate(seed: u64, options: &Options) -> Verdict {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            note(info);
            others(info);
        }));
    });
    let (options, aloud) = (options.clone(), options.aloud);
    let (told, verdict) = sync_channel(1);
    let thread = Builder::new().name(format!("seed {seed}")).spawn(move || {
        host::seed(seed);
        let mut verdict = None;
        let used = allocation_counter::measure(|| verdict = Some(world(seed, &options)));
        let Some(mut verdict) = verdict else { return };
        if used.bytes_max > MAX_BYTES {
            verdict.violations.push(format!("{} bytes were in use at a time", used.bytes_max));
        }
        if used.bytes_current > MAX_LEFT {
            verdict.violations.push(format!("{} bytes were left behind", used.bytes_current));
        }
        verdict.violations.extend(PANICS.take());
        verdict.bytes = (used.bytes_max, used.bytes_current);
        // Nobody waits any more for one that took too long.
        let _ = told.send(verdict);
    });
    let patience = if aloud { PATIENCE * 10 } else { PATIENCE };
    let what = match (thread, verdict.recv_timeout(patience)) {
        (Ok(_), Ok(verdict)) => return verdict,
        (Err(error), _) => format!("no thread: {error}"),
        (_, Err(RecvTimeoutError::Timeout)) => format!("no end in {patience:?} of real time: it is stuck"),
        (_, Err(RecvTimeoutError::Disconnected)) => "the world itself came to an end by a panic".to_owned(),
    };
    Verdict { violations: vec![what], ..Verdict::new(seed) }
}

fn world(seed: u64, options: &Options) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match runtime {
        Ok(runtime) => runtime.block_on(story::tell(seed, options)),
        Err(error) => Verdict { violations: vec![error.to_string()], ..Verdict::new(seed) },
    }
}

fn note(info: &PanicHookInfo<'_>) {
    PANICS.with_borrow_mut(|panics| panics.push(format!("a panic: {info}")));
}
