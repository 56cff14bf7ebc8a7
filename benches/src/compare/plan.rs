//! What a comparison measures, and in which order.

use super::{
    args::CompareArgs,
    cores::Cores,
    error::CompareError,
    server::{OURS, Programs, SERVERS, Server, TWO_CORES},
};
use crate::{
    sockjs::Transport,
    target::Options,
    workload::{Calls, Connect, FanOut, Idle, SockjsEcho, SockjsIdle, Workload},
};

/// Calls.
pub(super) const CALLS: &str = "calls";
/// Deliveries, one publication at a time.
pub(super) const FAN_OUT_1: &str = "fanout-1";
/// Deliveries, 32 publications under way.
pub(super) const FAN_OUT_32: &str = "fanout-32";
/// Deliveries to 10,000, one publication at a time.
pub(super) const FAN_OUT_10K: &str = "fanout-10k";
/// The same at half the rate, for latencies that are not those of overload.
pub(super) const FAN_OUT_10K_HALF: &str = "fanout-10k-half";
/// Memory per idle socket.
pub(super) const MEMORY: &str = "memory";
/// Short visits.
pub(super) const CONNECT: &str = "connect";

/// Calls that have all arrived before the server begins, in one process.
pub(super) const CORES_CALLS: &str = "cores-calls";
/// Deliveries to nearly 10,000 that read nothing meanwhile, in one process.
pub(super) const CORES_FAN_OUT: &str = "cores-fanout";

/// `SockJS` messages that come back: the workload of each transport.
pub(super) const SOCKJS_ECHO: [(&str, Transport); 6] = [
    ("sockjs-echo-websocket", Transport::Websocket),
    ("sockjs-echo-xhr-streaming", Transport::XhrStreaming),
    ("sockjs-echo-eventsource", Transport::Eventsource),
    ("sockjs-echo-htmlfile", Transport::Htmlfile),
    ("sockjs-echo-xhr-polling", Transport::XhrPolling),
    ("sockjs-echo-jsonp-polling", Transport::JsonpPolling),
];
/// Memory per idle `SockJS` session: the workload of each transport.
pub(super) const SOCKJS_IDLE: [(&str, Transport); 6] = [
    ("sockjs-idle-websocket", Transport::Websocket),
    ("sockjs-idle-xhr-streaming", Transport::XhrStreaming),
    ("sockjs-idle-eventsource", Transport::Eventsource),
    ("sockjs-idle-htmlfile", Transport::Htmlfile),
    ("sockjs-idle-xhr-polling", Transport::XhrPolling),
    ("sockjs-idle-jsonp-polling", Transport::JsonpPolling),
];

/// Whether the workload called `course` is one of `SockJS` transports.
pub(super) fn is_of_transport(course: &str) -> bool {
    is_echo(course) || is_idle(course)
}

/// Whether the workload called `course` counts `SockJS` messages.
fn is_echo(course: &str) -> bool {
    SOCKJS_ECHO.iter().any(|(name, _)| *name == course)
}

/// Whether the workload called `course` is the memory of `SockJS` sessions.
pub(super) fn is_idle(course: &str) -> bool {
    SOCKJS_IDLE.iter().any(|(name, _)| *name == course)
}

/// Whether server and clients share a process in the workload called `course`.
pub(super) fn is_in_process(course: &str) -> bool {
    matches!(course, CORES_CALLS | CORES_FAN_OUT)
}

/// A workload with its name in records and tables.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) name: &'static str,
    pub(super) workload: Workload,
}

impl Course {
    /// The course that tells this one's rate: it runs at half of what the same
    /// server reached there in the same round.
    pub(super) fn half_of(&self) -> Option<&'static str> {
        (self.name == FAN_OUT_10K_HALF).then_some(FAN_OUT_10K)
    }
}

/// A comparison, ready to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) servers: Vec<Server>,
    pub(super) courses: Vec<Course>,
    pub(super) rounds: usize,
    pub(super) options: Options,
    pub(super) cores: Option<Cores>,
    pub(super) programs: Programs,
}

impl Plan {
    /// Chooses what `arguments` ask for and builds the servers.
    pub(super) fn new(arguments: &CompareArgs) -> Result<Self, CompareError> {
        let mut servers = servers(&arguments.peers, arguments.skip_ours)?;
        servers.retain(|server| {
            let missing = server.missing();
            if let Some(what) = missing {
                eprintln!("{what}");
            }
            // Unpinned it would be our own row once more.
            missing.is_none() && !(arguments.unpinned && server.name == TWO_CORES)
        });
        let courses = courses(arguments)?;
        servers.retain(|server| courses.iter().any(|course| server.takes(course.name)));
        if servers.is_empty() || courses.is_empty() || arguments.rounds == 0 {
            return Err(CompareError::Nothing);
        }
        let programs = Programs::prepare(&servers, &courses, arguments.server_command.as_deref())?;
        Ok(Self {
            servers,
            courses,
            rounds: arguments.rounds,
            options: arguments.options(),
            cores: Cores::of(arguments),
            programs,
        })
    }

    /// Every measurement, each round going through all of them.
    pub(super) fn steps(&self) -> impl Iterator<Item = (usize, &Course, Server)> {
        (1..=self.rounds).flat_map(move |round| {
            self.courses
                .iter()
                .flat_map(move |course| self.takers(course).map(move |server| (round, course, server)))
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.rounds * self.courses.iter().map(|course| self.takers(course).count()).sum::<usize>()
    }

    fn takers(&self, course: &Course) -> impl Iterator<Item = Server> {
        self.servers.iter().copied().filter(|server| server.takes(course.name))
    }
}

fn servers(peers: &[String], skip_ours: bool) -> Result<Vec<Server>, CompareError> {
    let known = || SERVERS.iter().map(|server| server.name);
    for name in peers {
        if name != "none" && !known().any(|server| server == name) {
            return Err(CompareError::unknown("server", name, known()));
        }
    }
    let chosen = |server: &Server| {
        if server.is_ours() && skip_ours {
            false
        } else {
            server.name == OURS || peers.is_empty() || peers.iter().any(|name| name == server.name)
        }
    };
    Ok(SERVERS.into_iter().filter(chosen).collect())
}

fn courses(arguments: &CompareArgs) -> Result<Vec<Course>, CompareError> {
    let fan_out =
        |subscribers, in_flight| Workload::FanOut(FanOut { subscribers, in_flight, ..FanOut::default() });
    let course = |name, workload| Course { name, workload };
    let mut all = vec![
        course(CALLS, Workload::Calls(Calls::default())),
        course(FAN_OUT_1, fan_out(arguments.subscribers, 1)),
        course(FAN_OUT_32, fan_out(arguments.subscribers, 32)),
        course(FAN_OUT_10K, fan_out(10_000, 1)),
        course(FAN_OUT_10K_HALF, fan_out(10_000, 1)),
        course(MEMORY, Workload::Memory(Idle { sockets: arguments.idle, ..Idle::default() })),
        course(CONNECT, Workload::Connect(Connect::default())),
        // Many in flight, so that there is much to do between two signs to the clients.
        course(CORES_CALLS, Workload::Calls(Calls { in_flight: 256, ..Calls::default() })),
        // Both ends of each in one process, which mostly may open 20,000 files.
        course(CORES_FAN_OUT, fan_out(9_800, 1)),
    ];
    all.extend(SOCKJS_ECHO.map(|(name, transport)| {
        let echo = SockjsEcho { in_flight: arguments.in_flight, ..SockjsEcho::on(transport) };
        course(name, Workload::SockjsEcho(echo))
    }));
    all.extend(SOCKJS_IDLE.map(|(name, transport)| {
        course(name, Workload::SockjsIdle(SockjsIdle { transport, sessions: arguments.sessions }))
    }));
    let is_name = |wanted: &str| all.iter().any(|course| course.name == wanted);
    let means = |wanted: &str, name: &str| {
        if is_name(wanted) { wanted == name } else { name.starts_with(wanted) }
    };
    let mut chosen: Vec<&str> = Vec::new();
    for wanted in &arguments.only {
        let found = all.iter().filter(|course| means(wanted, course.name));
        let before = chosen.len();
        chosen.extend(found.flat_map(|course| course.half_of().into_iter().chain([course.name])));
        if chosen.len() == before {
            return Err(CompareError::unknown("workload", wanted, all.iter().map(|course| course.name)));
        }
    }
    let is_chosen = |course: &Course| arguments.only.is_empty() || chosen.contains(&course.name);
    Ok(all.iter().filter(|course| is_chosen(course)).cloned().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        compare: CompareArgs,
    }

    fn chosen(line: &str) -> (Vec<&'static str>, Vec<&'static str>) {
        let words = std::iter::once("x").chain(line.split_whitespace());
        let arguments = CommandLine::parse_from(words).compare;
        let servers = servers(&arguments.peers, arguments.skip_ours).unwrap();
        let courses = courses(&arguments).unwrap();
        (
            servers.iter().map(|server| server.name).collect(),
            courses.iter().map(|course| course.name).collect(),
        )
    }

    #[test]
    fn measures_all_unless_told() {
        let (servers, courses) = chosen("");
        assert_eq!(servers.len(), SERVERS.len());
        let usual = [
            CALLS,
            FAN_OUT_1,
            FAN_OUT_32,
            FAN_OUT_10K,
            FAN_OUT_10K_HALF,
            MEMORY,
            CONNECT,
            CORES_CALLS,
            CORES_FAN_OUT,
        ];
        assert_eq!(courses[..usual.len()], usual);
        let transports = SOCKJS_ECHO.iter().chain(&SOCKJS_IDLE).map(|(name, _)| *name);
        assert_eq!(courses[usual.len()..], transports.collect::<Vec<_>>());
    }

    #[test]
    fn takes_workloads_by_name_or_by_its_start() {
        assert_eq!(chosen("--only fanout-1").1, [FAN_OUT_1]);
        assert_eq!(chosen("--only fanout-3").1, [FAN_OUT_32]);
        assert_eq!(chosen("--only calls,mem").1, [CALLS, MEMORY]);
        assert_eq!(chosen("--only fanout").1.len(), 4);
        assert_eq!(chosen("--only cores").1, [CORES_CALLS, CORES_FAN_OUT]);
        assert_eq!(chosen("--only sockjs").1.len(), 12);
        assert_eq!(
            chosen("--only sockjs-echo-x").1,
            ["sockjs-echo-xhr-streaming", "sockjs-echo-xhr-polling"]
        );
    }

    #[test]
    fn half_a_rate_brings_the_whole_along() {
        assert_eq!(chosen("--only fanout-10k-half").1, [FAN_OUT_10K, FAN_OUT_10K_HALF]);
    }

    #[test]
    fn ours_is_always_there_unless_left_out() {
        assert_eq!(chosen("--peers floor").0, ["tokensocket", "floor"]);
        assert_eq!(chosen("--peers none").0, ["tokensocket"]);
        assert_eq!(chosen("--peers floor --skip-ours").0, ["floor"]);
    }

    #[test]
    fn says_which_names_there_are() {
        let error = servers(&["nginx".to_owned()], false).unwrap_err();
        assert!(error.to_string().contains("socketioxide"), "{error}");
    }
}
