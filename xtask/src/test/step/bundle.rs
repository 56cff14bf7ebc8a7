//! The committed npm package is what its sources say.
//!
//! Built again into the build folder. The same toolchain, as `build.json` tells it, must give the same bytes.
//! Another one may give others: then the browser tests run with what was built here as well.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::bundle;
use crate::report;
use crate::test::step::browser;
use crate::workspace::Workspace;

/// What the files were built with.
const RECORD: &str = "build.json";
/// The part of the record that is a result.
const SIZES: &str = "sizes";

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let committed = workspace.root.join("js-dist");
    let rebuilt = workspace.target.join("rebuilt-package");
    copy_package(&committed, &rebuilt)?;
    bundle::build_into(workspace, &rebuilt.join("dist"))?;

    let differences = differing_tools(&committed.join("dist"), &rebuilt.join("dist"))?;
    if differences.is_empty() {
        let changed = differing_files(&committed.join("dist"), &rebuilt.join("dist"))?;
        ensure!(
            changed.is_empty(),
            "built again with the same tools, these files of js-dist/dist are others: {}",
            changed.join(", ")
        );
        report::note("the same tools gave the same bytes");
        return Ok(());
    }
    for difference in differences {
        report::note(&format!("built with other tools: {difference}"));
    }
    report::note("so bytes may differ; the browser tests say whether it behaves the same");
    browser::suites(workspace, &rebuilt)
}

/// Everything of the package but its built files.
fn copy_package(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot empty {}", to.display()))?;
    }
    fs::create_dir_all(to.join("dist")).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Which tools the two were not both built with, in words.
fn differing_tools(committed: &Path, rebuilt: &Path) -> Result<Vec<String>> {
    let (committed, rebuilt) = (tools(committed)?, tools(rebuilt)?);
    let names = committed.keys().chain(rebuilt.keys().filter(|name| !committed.contains_key(*name)));
    let absent = Value::from("absent");
    Ok(names
        .filter(|name| committed.get(*name) != rebuilt.get(*name))
        .map(|name| {
            let was = committed.get(name).unwrap_or(&absent);
            let is = rebuilt.get(name).unwrap_or(&absent);
            format!("{name} is {is} here and was {was}")
        })
        .collect())
}

fn tools(dist: &Path) -> Result<BTreeMap<String, Value>> {
    let file = dist.join(RECORD);
    let text = fs::read_to_string(&file).with_context(|| {
        format!("{} is missing: run `cargo xtask bundle` and commit js-dist/dist", file.display())
    })?;
    let mut record: BTreeMap<String, Value> =
        serde_json::from_str(&text).with_context(|| format!("{} is not understood", file.display()))?;
    record.remove(SIZES);
    Ok(record)
}

/// The files that are not the same in both folders.
fn differing_files(committed: &Path, rebuilt: &Path) -> Result<Vec<String>> {
    let (committed, rebuilt) = (files(committed)?, files(rebuilt)?);
    let names = committed.keys().chain(rebuilt.keys().filter(|name| !committed.contains_key(*name)));
    Ok(names
        .filter(|name| committed.get(*name) != rebuilt.get(*name))
        .map(|name| name.display().to_string())
        .collect())
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        let unreadable = || format!("cannot read {}", next.display());
        for entry in fs::read_dir(&next).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let Ok(inside) = path.strip_prefix(folder) else {
                bail!("{} is not below {}", path.display(), folder.display());
            };
            found.insert(inside.to_owned(), bytes);
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
mod tests {
    use super::*;

    /// A dist folder of its own, below the test's.
    fn dist(name: &str, record: &str, script: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("tokensocket-bundle-step-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("types")).unwrap();
        fs::write(folder.join(RECORD), record).unwrap();
        fs::write(folder.join("types/index.d.ts"), script).unwrap();
        folder
    }

    #[test]
    fn sees_other_tools_and_no_other_sizes() {
        let one = dist("tools-1", r#"{"rustc":"1","sizes":{"a":1}}"#, "");
        let two = dist("tools-2", r#"{"rustc":"1","sizes":{"a":2}}"#, "");
        let three = dist("tools-3", r#"{"rustc":"2","esbuild":"1"}"#, "");
        assert!(differing_tools(&one, &two).unwrap().is_empty());
        let differing = differing_tools(&one, &three).unwrap();
        assert_eq!(
            differing,
            [r#"rustc is "2" here and was "1""#, r#"esbuild is "1" here and was "absent""#]
        );
        for folder in [one, two, three] {
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn sees_changed_added_and_missing_files() {
        let one = dist("files-1", "{}", "one");
        let two = dist("files-2", "{}", "two");
        assert!(differing_files(&one, &one).unwrap().is_empty());
        assert_eq!(differing_files(&one, &two).unwrap(), ["types/index.d.ts"]);
        fs::write(two.join("added.mjs"), "").unwrap();
        fs::remove_file(two.join("types/index.d.ts")).unwrap();
        assert_eq!(differing_files(&one, &two).unwrap(), ["types/index.d.ts", "added.mjs"]);
        for folder in [one, two] {
            fs::remove_dir_all(folder).unwrap();
        }
    }
}
