//! The npm package in a real Chromium: its size, its entries, its consumers.
//!
//! The suites start the workspace's own programs, so those are built first; the suites find them through
//! `TOKENSOCKET_BIN_DIR` and the package through `TOKENSOCKET_PACKAGE`.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::bundle;
use crate::report;
use crate::test::step::{npm, tests};
use crate::workspace::Workspace;

/// The suites.
const FOLDER: &str = "tests/browser";
/// The package's sources, which have tests of their own: what must not compile, and parts by themselves.
const SOURCES: &str = "client-wasm/js";
/// The npm folders that they use: their own, the original server's, the console's and the example's.
const NPM: [&str; 5] = [FOLDER, SOURCES, "tests/npm", "gateway/console", "examples/browser/vite"];
/// A page written in Rust, and its folder.
const PAGE: (&str, &str) = ("tokensocket-example-page", "examples/browser/rust");
/// The folder with the package's package.json.
const PACKAGE: &str = "TOKENSOCKET_PACKAGE";

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    suites(workspace, &workspace.root.join("js-dist"))?;
    report::note("types and parts of the package");
    workspace
        .program("npm")
        .args(["run", "--silent", "test", "--prefix", SOURCES])
        .env("TOKENSOCKET_LIVE", "1")
        .env("TOKENSOCKET_PLAYGROUND", workspace.target.join("debug/examples/playground"))
        .run()?;
    Ok(())
}

/// Runs all suites with the package in a folder.
pub(super) fn suites(workspace: &Workspace, package: &Path) -> Result<()> {
    for folder in npm::not_installed(workspace)? {
        if NPM.contains(&folder.as_str()) {
            report::note(&format!("npm ci in {folder}"));
            workspace
                .run_in(&workspace.root.join(&folder), "npm", &["ci", "--no-audit", "--no-fund"])
                .with_context(|| format!("npm ci in {folder}"))?;
        }
    }
    let dist = package.join("dist");
    ensure!(dist.is_dir(), "{} is missing: run `cargo xtask bundle` first", dist.display());

    let programs = tests::programs(workspace)?;
    report::note("building the page in Rust");
    let (package_of_page, folder) = PAGE;
    bundle::build_page(workspace, package_of_page, &workspace.root.join(folder).join("pkg"), "page")?;

    workspace
        .program("npm")
        .args(["run", "--silent", "test", "--prefix", FOLDER])
        .env(tests::BIN_DIR, programs)
        .env(PACKAGE, package)
        .run()?;
    Ok(())
}
