//! Installs the npm packages that tests start, exactly as the lockfiles say.
//!
//! Every folder with a `package-lock.json` counts, except inside `node_modules`,
//! the build folder and hidden folders.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report;
use crate::workspace::Workspace;

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let folders = folders(workspace)?;
    if folders.is_empty() {
        report::note("no package-lock.json in the workspace, nothing to install");
    }
    for folder in folders {
        report::note(&format!("in {}", name(workspace, &folder)));
        workspace
            .run_in(&folder, "npm", &["ci", "--no-audit", "--no-fund"])
            .with_context(|| format!("npm ci in {}", name(workspace, &folder)))?;
    }
    Ok(())
}

/// The npm folders whose packages are not installed as their lockfiles say now.
pub(super) fn not_installed(workspace: &Workspace) -> Result<Vec<String>> {
    let changed = |path: PathBuf| fs::metadata(path).and_then(|file| file.modified()).ok();
    Ok(folders(workspace)?
        .into_iter()
        .filter(|folder| {
            let installed = changed(folder.join("node_modules/.package-lock.json"));
            installed < changed(folder.join("package-lock.json"))
        })
        .map(|folder| name(workspace, &folder))
        .collect())
}

fn name(workspace: &Workspace, folder: &Path) -> String {
    let inside = folder.strip_prefix(&workspace.root).unwrap_or(folder);
    inside.display().to_string()
}

fn folders(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![workspace.root.clone()];
    while let Some(folder) = waiting.pop() {
        let unreadable = || format!("{} could not be read", folder.display());
        for entry in fs::read_dir(&folder).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let skipped = name.starts_with('.')
                || name == "node_modules"
                || name == "target"
                || entry.path() == workspace.target;
            if name == "package-lock.json" {
                found.push(folder.clone());
            } else if !skipped && entry.file_type().with_context(unreadable)?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
