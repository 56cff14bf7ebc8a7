//! The layer table: which crate and which module may import which.
//!
//! Comes in: the text of `docs/layers.toml`. Goes out: answers to "which layer
//! is this module in?". It must not know how sources are read.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The whole table, by crate folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// One rule per workspace member.
    pub(super) crates: BTreeMap<String, CrateRule>,
}

/// What one crate may import, and how its modules lie above one another.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CrateRule {
    imports: Vec<String>,
    #[serde(default)]
    layers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    apart: Vec<Vec<String>>,
}

/// Where a module lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The entry of the table that decided, or the folder whose children did.
    pub(super) entry: String,
    /// 0 is the lowest.
    pub(super) layer: u8,
    /// Not listed itself, only its children are: this is the highest of them.
    pub(super) facade: bool,
}

impl Table {
    /// Reads the table and checks that it does not contradict itself.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let table: Self = toml::from_str(text)?;
        for (name, rule) in &table.crates {
            for folder in &rule.imports {
                ensure!(
                    folder == "*" || table.crates.contains_key(folder),
                    "crates.{name} may import `{folder}`, for which there is no [crates.{folder}]"
                );
            }
            let mut seen = BTreeMap::new();
            for (layer, modules) in &rule.layers {
                layer.parse::<u8>().with_context(|| {
                    format!("crates.{name}.layers: `{layer}` must be a number from 0 to 255")
                })?;
                for module in modules {
                    if let Some(other) = seen.insert(module, layer) {
                        anyhow::bail!("crates.{name}.layers: `{module}` is in layer {other} and in {layer}");
                    }
                }
            }
        }
        Ok(table)
    }
}

impl CrateRule {
    /// Whether this crate may depend on the member in that folder.
    pub(super) fn may_depend_on(&self, folder: &str) -> bool {
        self.imports.iter().any(|name| name == "*" || name == folder)
    }

    /// The members it may depend on, for a message.
    pub(super) fn imports(&self) -> String {
        match self.imports.as_slice() {
            [] => "none of the workspace's crates".to_owned(),
            names => names.join(", "),
        }
    }

    /// Whether the modules of this crate lie in layers at all.
    pub(super) fn has_layers(&self) -> bool {
        !self.layers.is_empty()
    }

    /// Where a module lies: the longest entry that covers it, else, for a folder
    /// that is not listed while its children are, the highest of those.
    pub(super) fn place(&self, module: &[String]) -> Option<Place> {
        let entries = || {
            self.layers.iter().flat_map(|(layer, modules)| {
                let layer = layer.parse::<u8>().unwrap_or(u8::MAX);
                modules.iter().map(move |entry| (entry, layer))
            })
        };
        let covering = entries()
            .filter(|(entry, _)| covers(entry, module))
            .max_by_key(|(entry, _)| entry.len())
            .map(|(entry, layer)| Place { entry: entry.clone(), layer, facade: false });
        covering.or_else(|| {
            let inside = format!("{}/", module.join("/"));
            entries()
                .filter(|(entry, _)| entry.starts_with(&inside))
                .map(|(_, layer)| layer)
                .max()
                .map(|layer| Place { entry: module.join("/"), layer, facade: true })
        })
    }

    /// Whether the two modules are kept apart, whatever their layers.
    pub(super) fn apart(&self, one: &[String], other: &[String]) -> bool {
        self.apart.iter().any(|group| {
            let side = |module: &[String]| group.iter().position(|entry| covers(entry, module));
            matches!((side(one), side(other)), (Some(a), Some(b)) if a != b)
        })
    }
}

/// Whether an entry such as `token/endpoint` is the module or holds it.
fn covers(entry: &str, module: &[String]) -> bool {
    let mut module = module.iter();
    entry.split('/').all(|name| module.next().is_some_and(|part| part == name))
}
