//! The workspace's crates as the check sees them: manifests and sources as text.
//!
//! Comes in: the workspace. Goes out: one [`CrateSource`] per member. Only this
//! file of the check reads from the disk.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace::{Member, Workspace};

/// One member's manifest and sources.
pub(super) struct CrateSource {
    /// Its folder, from the workspace's root.
    pub(super) folder: String,
    /// The members it depends on, apart from dev-dependencies.
    pub(super) dependencies: Vec<CrateDependency>,
    /// Its sources.
    pub(super) files: Vec<SourceFile>,
}

/// One member that another depends on.
pub(super) struct CrateDependency {
    /// The folder of the member depended on.
    pub(super) folder: String,
    /// The line of the manifest that says so.
    pub(super) line: usize,
}

/// One file below `src`.
pub(super) struct SourceFile {
    /// Its path below `src`, with `/` between the parts.
    pub(super) path: String,
    /// What is in it.
    pub(super) text: String,
}

impl SourceFile {
    /// The module that the file is: `token/mod.rs` and `token.rs` are `token`,
    /// `lib.rs` and `main.rs` are the root, which has no parts.
    pub(super) fn module(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let mut parts: Vec<String> = stem.split('/').map(str::to_owned).collect();
        let last = parts.last().map(String::as_str);
        if last == Some("mod") || (parts.len() == 1 && matches!(last, Some("lib" | "main"))) {
            parts.pop();
        }
        parts
    }
}

/// Reads every member of the workspace.
pub(super) fn read(workspace: &Workspace) -> Result<Vec<CrateSource>> {
    workspace.members.iter().map(|member| read_member(workspace, member)).collect()
}

fn read_member(workspace: &Workspace, member: &Member) -> Result<CrateSource> {
    let folder_of = |path: &Path| {
        let inside = path.strip_prefix(&workspace.root).unwrap_or(path);
        inside.to_string_lossy().replace('\\', "/")
    };
    let manifest = fs::read_to_string(member.manifest())
        .with_context(|| format!("{} could not be read", member.manifest().display()))?;
    let dependencies = member
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
        .filter_map(|dependency| {
            let line = manifest
                .lines()
                .position(|line| line.contains(&dependency.name) && !line.starts_with("name"));
            Some(CrateDependency {
                folder: folder_of(dependency.path.as_deref()?),
                line: line.map_or(1, |index| index + 1),
            })
        })
        .collect();
    let mut files = Vec::new();
    let sources = member.folder().join("src");
    if sources.is_dir() {
        read_sources(&sources, "", &mut files)?;
    }
    Ok(CrateSource { folder: folder_of(member.folder()), dependencies, files })
}

fn read_sources(folder: &Path, prefix: &str, files: &mut Vec<SourceFile>) -> Result<()> {
    let unreadable = || format!("{} could not be read", folder.display());
    let mut entries = fs::read_dir(folder)
        .with_context(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .with_context(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().with_context(unreadable)?.is_dir() {
            read_sources(&entry.path(), &format!("{path}/"), files)?;
        } else if entry.path().extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("{} could not be read", entry.path().display()))?;
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}
