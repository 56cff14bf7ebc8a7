//! Which files are read, and what of them.
//!
//! In: paths as they were named: files, or folders with files of the usual names. Out: sections with settings of the
//! gateway, and sections with sites. The original had one section for each environment in its `config.yml`, and its
//! sites by name in a `sites.yml` beside it; here all may be one file, with the sites below `sites`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mistake::{Mistake, same};
use super::tree::{Content, Node, Place};

/// The files that are looked for in a folder, the first of each group.
const USUAL: [&[&str]; 2] = [
    &["tokensocket.yml", "tokensocket.yaml", "tokensocket.toml", "config.yml"],
    &["sites.yml", "sites.yaml", "sites.toml"],
];
/// The usual names of environments.
const ENVIRONMENTS: [&str; 4] = ["production", "development", "staging", "test"];
/// By these a section of settings is known.
const SETTINGS: [&str; 12] = [
    "sites",
    "listen",
    "port",
    "device_ttl",
    "data",
    "in_memory",
    "client_files",
    "broker",
    "redis",
    "io",
    "flakeid",
    "winston",
];
/// The largest file that is read.
const MAX_BYTES: u64 = 16 << 20;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The gateway's settings.
    Settings,
    /// Sites by name.
    Sites,
}

#[derive(Debug)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) node: Node,
}

/// The files themselves: those of folders, and the `sites.yml` beside a `config.yml`.
pub(super) fn paths(named: &[PathBuf], mistakes: &mut Vec<Mistake>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in named {
        let mut found = Vec::new();
        if path.is_dir() {
            for group in USUAL {
                found.extend(group.iter().map(|name| path.join(name)).find(|path| path.is_file()));
            }
            if found.is_empty() {
                let file: Arc<str> = path.display().to_string().into();
                mistakes.push(
                    Mistake::new(&Place::of(&file), "this folder has no configuration")
                        .suggest("`tokensocket init` writes one; or name the file itself"),
                );
            }
        } else {
            found.push(path.clone());
            if path.file_stem().is_some_and(|name| name == "config") {
                let beside = |name| path.with_file_name(name);
                found.extend(USUAL[1].iter().map(beside).find(|path| path.is_file()));
            }
        }
        for path in found {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

/// Reads a file.
pub(super) fn sections(path: &Path, environment: &str, mistakes: &mut Vec<Mistake>) -> Vec<Section> {
    let file: Arc<str> = path.display().to_string().into();
    let read = text(path).map_err(|error| {
        Mistake::new(&Place::of(&file), format!("cannot be read: {error}"))
            .suggest("check the path; `tokensocket init` writes a new file")
    });
    match read {
        Ok(text) => sections_of(&file, &text, environment, mistakes),
        Err(mistake) => {
            mistakes.push(mistake);
            Vec::new()
        }
    }
}

/// Reads what stands in a file of this name.
pub(super) fn sections_of(
    name: &str,
    text: &str,
    environment: &str,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Section> {
    match Node::read(&name.into(), text.trim_start_matches('\u{feff}')) {
        Ok(node) => split(Path::new(name), node, environment, mistakes),
        Err(mistake) => {
            mistakes.push(mistake);
            Vec::new()
        }
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > MAX_BYTES {
        return Err(std::io::Error::other(format!("{bytes} bytes are no configuration")));
    }
    std::fs::read_to_string(path)
}

fn split(path: &Path, node: Node, environment: &str, mistakes: &mut Vec<Mistake>) -> Vec<Section> {
    let Some(entries) = node.entries() else {
        let what = format!("here is {}, where a section is expected", node.kind());
        mistakes.push(Mistake::new(&node.place, what).suggest("`tokensocket init` writes an example"));
        return Vec::new();
    };
    let is_setting = |key: &str| SETTINGS.iter().any(|setting| same(setting) == same(key));
    let are_sections = || entries.iter().all(|entry| entry.value.entries().is_some());
    let is_environment = |key: &str| key == environment || ENVIRONMENTS.contains(&key);
    let is_sites = path.file_stem().is_some_and(|name| name == "sites");
    if is_sites {
        return vec![Section { kind: Kind::Sites, node }];
    }
    if !entries.is_empty() && !entries.iter().any(|entry| is_setting(&entry.key)) && are_sections() {
        if !entries.iter().any(|entry| is_environment(&entry.key)) {
            return vec![Section { kind: Kind::Sites, node }];
        }
        let Some(own) = entries.iter().find(|entry| entry.key == environment) else {
            let names: Vec<&str> = entries.iter().map(|entry| &*entry.key).collect();
            mistakes.push(
                Mistake::new(&node.place, format!("there is no section `{environment}`"))
                    .suggest(format!("add it, or set NODE_ENV to one of {}", names.join(", "))),
            );
            return Vec::new();
        };
        return settings(own.value.clone());
    }
    settings(node)
}

/// A section of settings, and the sites in it.
fn settings(node: Node) -> Vec<Section> {
    let sites = node.entries().unwrap_or_default().iter().find(|entry| entry.key == "sites");
    let sites = sites.map(|entry| Section { kind: Kind::Sites, node: entry.value.clone() });
    let mut sections = vec![Section { kind: Kind::Settings, node }];
    sections.extend(sites.filter(|sites| !matches!(sites.node.content, Content::Nothing)));
    sections
}
