//! The steps of `cargo xtask test`, one file each.
//!
//! Comes in: the workspace. Goes out: success, or the reason of the failure. A
//! step must not rely on another having run in the same process: each can be run
//! alone. A new step is a file here and a variant of [`Step`], whose order is the
//! order they run in.

mod browser;
mod bundle;
mod clippy;
mod costs;
mod deny;
mod docs;
mod fmt;
mod npm;
mod simulation;
mod tests;
mod tools;

use anyhow::Result;
use clap::ValueEnum;

use crate::layers;
use crate::workspace::Workspace;

/// One thing that is checked.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// The programs that the other steps need: installs or names what is missing
    Tools,
    /// The layout of the Rust sources
    Fmt,
    /// The compiler's and Clippy's warnings
    Clippy,
    /// The documentation's warnings and links
    Docs,
    /// Imports run downward only, as docs/layers.toml says
    Layers,
    /// Dependencies: versions, licences and sources, as deny.toml says
    Deny,
    /// The npm packages that the tests start, from their lockfiles
    Npm,
    /// The committed npm package against its sources
    Bundle,
    /// All tests, then the examples in the documentation
    Tests,
    /// Ten thousand simulated worlds with everything that can go wrong
    Simulation,
    /// The npm package in a real Chromium
    Browser,
    /// Instructions per call and per delivery, as tests/costs.toml says; runs while the browser step does
    Costs,
}

impl Step {
    /// The name on the command line and in what is printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Docs => "docs",
            Self::Layers => "layers",
            Self::Deny => "deny",
            Self::Npm => "npm",
            Self::Bundle => "bundle",
            Self::Tests => "tests",
            Self::Simulation => "simulation",
            Self::Browser => "browser",
            Self::Costs => "costs",
        }
    }

    /// What it does, for the heading.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Tools => "what the other steps need",
            Self::Fmt => "layout of the sources",
            Self::Clippy => "warnings of the compiler and Clippy",
            Self::Docs => "documentation without warnings",
            Self::Layers => "imports run downward only",
            Self::Deny => "dependencies, their licences and sources",
            Self::Npm => "npm packages for the tests",
            Self::Bundle => "the committed npm package is what its sources say",
            Self::Tests => "all tests, then the documentation's examples",
            Self::Simulation => "ten thousand worlds in virtual time",
            Self::Browser => "the npm package in a real Chromium",
            Self::Costs => "instructions per call and per delivery",
        }
    }

    /// What to do when it fails.
    pub(crate) fn next(self) -> &'static str {
        match self {
            Self::Tools => "install what is named above",
            Self::Fmt => "run `cargo fmt --all`, which changes the files as needed",
            Self::Clippy => "mend what is named above; `cargo clippy --fix` does some of it",
            Self::Docs => "mend the comments named above",
            Self::Layers => {
                "move the code, hand the value in from above, or change docs/layers.toml with a reason"
            }
            Self::Deny => "choose another dependency, or change deny.toml and give the reason in it",
            Self::Npm => {
                "see npm's message above; when a package.json was changed, run `npm install --omit-lockfile-registry-resolved` in its folder"
            }
            Self::Bundle => "run `cargo xtask bundle` and commit js-dist/dist",
            Self::Tests => "mend what failed; the failing tests are listed above",
            Self::Simulation => "replay the seed named above: `cargo xtask simulate --seed N`",
            Self::Browser => {
                "mend what failed; one suite alone: `npm test --prefix tests/browser -- NAME`, see its README"
            }
            Self::Costs => {
                "find what became dearer, or write the new number into tests/costs.toml with a reason"
            }
        }
    }

    /// Whether another one may run meanwhile: this one mostly waits, and the other needs no quiet.
    pub(crate) fn leaves_room_for(self, other: Self) -> bool {
        (self, other) == (Self::Browser, Self::Costs)
    }

    /// Runs it.
    pub(crate) fn run(self, workspace: &Workspace) -> Result<()> {
        match self {
            Self::Tools => tools::run(workspace),
            Self::Fmt => fmt::run(workspace),
            Self::Clippy => clippy::run(workspace),
            Self::Docs => docs::run(workspace),
            Self::Layers => layers::run(workspace),
            Self::Deny => deny::run(workspace),
            Self::Npm => npm::run(workspace),
            Self::Bundle => bundle::run(workspace),
            Self::Tests => tests::run(workspace),
            Self::Simulation => simulation::run(workspace),
            Self::Browser => browser::run(workspace),
            Self::Costs => costs::run(workspace),
        }
    }
}
