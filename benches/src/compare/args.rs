//! What a comparison can be told.

use std::path::PathBuf;

use clap::Args;

use super::error::CompareError;
use crate::{args::seconds, target::Options};

/// What a comparison can be told.
#[derive(Args, Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct CompareArgs {
    /// Rounds; figures are medians over them.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds to count in each measurement.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Seconds of load before counting.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Workloads, by their names or the start of them: calls, fanout-1,
    /// fanout-32, fanout-10k, fanout-10k-half (which brings fanout-10k along),
    /// memory, connect, in one process cores-calls, cores-fanout, and
    /// sockjs-echo-TRANSPORT, sockjs-idle-TRANSPORT with websocket, xhr-streaming,
    /// eventsource, htmlfile, xhr-polling, jsonp-polling; or durable, engines or send
    /// alone, which have their own peers and tables; beside engines publications,
    /// kept, fan-out, one-by-one, devices, beside send device, room, offline for
    /// some of their courses. Default: all but those.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Servers to measure beside ours: tokensocket-two-cores,
    /// tokensocket-runtime-per-core, tokensocket-tls, tokensocket-sockjs,
    /// tokensocket-mixed, floor, floor-plain, floor-tls, socketioxide, jsonrpsee,
    /// nats, ws, socket.io, node-token-sockjs, sockjs; `none` for ours alone. Default: all.
    /// With engines: memory, redis, nats, socket.io, socket.io-redis, ours among them;
    /// with send: memory, redis, nats, two-on-redis, two-on-nats, npm, embedded,
    /// redis-strict, npm-strict.
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<String>,
    /// Leave our own server out.
    #[arg(long)]
    pub skip_ours: bool,
    /// The command that starts our server. It must print a line with its
    /// http://HOST:PORT, and take `--tls-certificate FILE --tls-key FILE` if the
    /// row with TLS is wanted. The sockjs workloads want a plain echo service at
    /// `/echo`, with a response limit of 128 KiB. Default: the example `playground`, built first.
    #[arg(long, env = "TOKENSOCKET_BENCH_SERVER")]
    pub server_command: Option<String>,
    /// Subscribers of the fan-out workloads, but for fanout-10k.
    #[arg(long, default_value_t = 1000)]
    pub subscribers: usize,
    /// Sockets of the memory workload.
    #[arg(long, default_value_t = 2000)]
    pub idle: usize,
    /// Sessions of the sockjs-idle workloads.
    #[arg(long, default_value_t = 1000)]
    pub sessions: usize,
    /// Messages that each session of the sockjs-echo workloads keeps in flight.
    #[arg(long, default_value_t = 16)]
    pub in_flight: usize,
    /// The core that servers are pinned to, or several as in 0,1.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    pub server_cores: Vec<usize>,
    /// The cores of the row with two cores. Default: those of servers and as
    /// many more as it takes, the load generator's last.
    #[arg(long, value_delimiter = ',')]
    pub two_cores: Vec<usize>,
    /// The core that the load generator is pinned to.
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
    /// Pin nothing, for machines with one core. Figures then say little.
    #[arg(long)]
    pub unpinned: bool,
    /// Print tables as Markdown.
    #[arg(long)]
    pub markdown: bool,
    /// Where records are kept.
    #[arg(long, default_value = "bench-results")]
    pub results: PathBuf,
    /// Print also which figures that the project wants are met.
    #[arg(long)]
    pub targets: bool,
    /// Draw the plot into this file. A new record has one beside it anyway.
    #[arg(long)]
    pub svg: Option<PathBuf>,
    /// Run nothing; print the tables of this record.
    #[arg(long)]
    pub from: Option<PathBuf>,
}

impl CompareArgs {
    /// How long each measurement takes.
    pub(super) fn options(&self) -> Options {
        Options { measure: seconds(self.seconds), warm_up: seconds(self.warm_up) }
    }

    /// What of `all` is to be measured: those whose names stand beside the bench's own, `bench`, in `--only`; without
    /// any, all.
    pub(super) fn courses<T: Copy>(
        &self,
        bench: &str,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Result<Vec<T>, CompareError> {
        let names: Vec<_> = self.only.iter().filter(|only| *only != bench).map(String::as_str).collect();
        chosen("course", &names, all, name)
    }

    /// What of `all` is to be measured: those that `--peers` names; without it, all.
    pub(super) fn stacks<T: Copy>(
        &self,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Result<Vec<T>, CompareError> {
        let names: Vec<_> = self.peers.iter().map(String::as_str).collect();
        chosen("server", &names, all, name)
    }
}

/// Those of `all` that `names` names, in their own order; all where it names none.
fn chosen<T: Copy>(
    kind: &'static str,
    names: &[&str],
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, CompareError> {
    let known = || all.iter().map(|one| name(*one));
    if let Some(wrong) = names.iter().find(|wanted| !known().any(|name| name == **wanted)) {
        return Err(CompareError::unknown(kind, wrong, known()));
    }
    Ok(all.iter().copied().filter(|one| names.is_empty() || names.contains(&name(*one))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn takes_what_is_named_in_its_own_order_or_all() {
        let all = ["a", "b", "c"];
        let chosen = |names: &[&str]| chosen("server", names, &all, |one| one);
        assert_eq!(chosen(&["c", "a"]).unwrap(), ["a", "c"]);
        assert_eq!(chosen(&[]).unwrap(), all);
        let error = chosen(&["d"]).unwrap_err().to_string();
        assert!(error.contains("`d`") && error.contains("a, b, c"), "{error}");
    }
}
