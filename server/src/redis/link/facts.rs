//! What a server says of itself.
//!
//! In: the answer to `INFO`. Out: whether it can be used, what it cannot do, and the name of its present data.

use std::collections::HashMap;

/// The sections of `INFO` that are read.
pub(super) const SECTIONS: [&str; 5] = ["server", "memory", "persistence", "replication", "cluster"];

/// The first version that has what is needed: sharded topics, and `SPUBLISH` within scripts.
const FIRST: u64 = 7;

/// What is known of a server that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) struct Facts {
    /// Its own words for its version.
    pub(in crate::redis) version: String,
    /// A name that changes whenever the server may have lost what it answered for; see [`Facts::read`].
    pub(in crate::redis) generation: String,
    /// Its present run: another since each start.
    pub(in crate::redis) run: String,
    /// What it is called among those that may take over from one another.
    pub(super) place: String,
    /// It writes to its disk what it answers for, and then answers.
    pub(super) is_synced: bool,
    /// What it cannot do, or cannot keep, as it is configured.
    pub(in crate::redis) lacks: Vec<String>,
}

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Not before somebody changes something.
    Ever(String),
    /// Not now.
    Yet(String),
}

impl Facts {
    /// Reads `INFO`. `syncs`: its append-only file is synced before it answers. `place` names the server among those that
    /// may take over from one another (its own id in a cluster, what Sentinel calls it), and is empty where there is one.
    ///
    /// The generation: with an append-only file that is synced before it answers a server has after a restart what it
    /// answered for, so it keeps its name, unless it was promoted, as a replica may lack the last of its primary. In any
    /// other case every start is another: written each second, the file lacks up to two seconds when Redis is killed
    /// while its disk is busy.
    pub(super) fn read(info: &str, syncs: bool, place: &str, cluster: bool) -> Result<Self, Unfit> {
        let fields: HashMap<&str, &str> =
            info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let version = field("redis_version");
        let major: u64 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
        if major < FIRST {
            return Err(Unfit::Ever(format!("it is version {version:?}, and 7 or later is needed")));
        }
        if cluster && field("cluster_enabled") == "0" {
            return Err(Unfit::Ever("it is no cluster: leave `cluster` out of the address".to_owned()));
        }
        if !cluster && field("cluster_enabled") == "1" {
            return Err(Unfit::Ever("it is a cluster: begin the address with redis+cluster://".to_owned()));
        }
        if field("loading") != "0" {
            return Err(Unfit::Yet("it is still loading its data".to_owned()));
        }
        if field("role") != "master" {
            return Err(Unfit::Yet("it is a replica: name its primary, or its Sentinels".to_owned()));
        }
        let appends = field("aof_enabled") == "1";
        let mut lacks = Vec::new();
        if !appends {
            lacks.push(
                "it has no append-only file: a restart loses histories and deliveries (appendonly yes)"
                    .to_owned(),
            );
        }
        if appends && !syncs {
            lacks.push(
                "its append-only file is not synced before it answers: killed, it may lose up to two seconds; what it \
                 kept counts as lost whenever it is restarted (appendfsync always)"
                    .to_owned(),
            );
        }
        let policy = field("maxmemory_policy");
        if policy.starts_with("allkeys") || policy.starts_with("volatile") {
            lacks.push(format!(
                "with a full memory it may drop histories and deliveries ({policy}; use noeviction)"
            ));
        }
        let promoted = field("master_replid2").trim_start_matches('0');
        let is_synced = appends && syncs;
        let run = field("run_id").to_owned();
        let generation = if is_synced { format!("{place}~{promoted}") } else { run.clone() };
        let version = match field("valkey_version") {
            "" => version.to_owned(),
            valkey => format!("{valkey} (Valkey)"),
        };
        Ok(Self { version, generation, run, place: place.to_owned(), is_synced, lacks })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    fn info(changes: &[(&str, &str)]) -> String {
        let mut fields = vec![
            ("redis_version", "7.0.15"),
            ("run_id", "r1"),
            ("loading", "0"),
            ("aof_enabled", "1"),
            ("role", "master"),
            ("master_replid2", "0000000000000000000000000000000000000000"),
            ("cluster_enabled", "0"),
            ("maxmemory_policy", "noeviction"),
        ];
        fields.retain(|(name, _)| changes.iter().all(|(other, _)| other != name));
        let lines = fields.iter().chain(changes).map(|(name, value)| format!("{name}:{value}\r\n"));
        format!("# Server\r\n{}", lines.collect::<String>())
    }

    fn read(changes: &[(&str, &str)]) -> Result<Facts, Unfit> {
        Facts::read(&info(changes), true, "", false)
    }

    #[test]
    fn refuses_what_cannot_be_used() {
        assert_eq!(read(&[]).unwrap().lacks, Vec::<String>::new());
        assert!(matches!(read(&[("redis_version", "6.2.7")]), Err(Unfit::Ever(_))));
        assert!(matches!(read(&[("cluster_enabled", "1")]), Err(Unfit::Ever(_))));
        assert!(matches!(Facts::read(&info(&[]), true, "", true), Err(Unfit::Ever(_))));
        assert!(matches!(read(&[("loading", "1")]), Err(Unfit::Yet(_))));
        assert!(matches!(read(&[("role", "slave")]), Err(Unfit::Yet(_))));
        assert!(matches!(Facts::read("nonsense", true, "", false), Err(Unfit::Ever(_))));
    }

    #[test]
    fn says_what_would_be_lost() {
        assert_eq!(read(&[("aof_enabled", "0")]).unwrap().lacks.len(), 1);
        assert_eq!(
            read(&[("aof_enabled", "0"), ("maxmemory_policy", "allkeys-lru")]).unwrap().lacks.len(),
            2
        );
        assert_eq!(read(&[("valkey_version", "8.1.0")]).unwrap().version, "8.1.0 (Valkey)");
    }

    #[test]
    fn a_generation_lasts_as_long_as_nothing_can_be_lost() {
        let first = read(&[]).unwrap().generation;
        assert_eq!(read(&[("run_id", "r2")]).unwrap().generation, first, "restarted with its file");
        assert_ne!(read(&[("master_replid2", "abc")]).unwrap().generation, first, "promoted");
        assert_ne!(
            Facts::read(&info(&[]), true, "other", false).unwrap().generation,
            first,
            "another server"
        );
        let seconds = |run| Facts::read(&info(&[("run_id", run)]), false, "", false).unwrap().generation;
        assert_ne!(seconds("r1"), seconds("r2"), "restarted with a file that may lack its end");
        let without = |run| read(&[("aof_enabled", "0"), ("run_id", run)]).unwrap().generation;
        assert_ne!(without("r1"), first);
        assert_ne!(without("r1"), without("r2"), "restarted without a file");
    }
}
