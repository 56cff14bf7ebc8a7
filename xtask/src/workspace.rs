//! Where the workspace and its build results are, and how programs are run in it.
//!
//! Comes in: what `cargo metadata` says. Goes out: folders, members, and commands
//! that start in the workspace's root. It must not know what the commands are for.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use xshell::{Cmd, Shell};

/// The workspace that this program belongs to.
pub(crate) struct Workspace {
    /// The folder that holds the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// The folder cargo builds into.
    pub(crate) target: PathBuf,
    /// The workspace's crates.
    pub(crate) members: Vec<Member>,
    shell: Shell,
}

/// One crate of the workspace.
#[derive(Deserialize)]
pub(crate) struct Member {
    manifest_path: PathBuf,
    /// What its manifest says it depends on, of any kind.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One entry of a member's dependencies.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    /// The package's name.
    pub(crate) name: String,
    /// `None` for an ordinary dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The folder it is in, when it comes from one.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Member>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Asks cargo where everything is.
    pub(crate) fn find() -> Result<Self> {
        let shell = Shell::new()?;
        // Asked at run time too: a target folder may be shared by several checkouts.
        let ours = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        shell.change_dir(&ours);
        let text = cargo(&shell, &["metadata", "--no-deps", "--format-version=1"])
            .quiet()
            .read()
            .context("cargo could not read the workspace; its message is above")?;
        let metadata: Metadata =
            serde_json::from_str(&text).context("cargo metadata answered in an unknown format")?;
        shell.change_dir(&metadata.workspace_root);
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            members: metadata.packages,
            shell,
        })
    }

    /// A cargo command in the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Cmd<'_> {
        cargo(&self.shell, arguments)
    }

    /// A command in the workspace's root.
    pub(crate) fn program(&self, program: impl AsRef<Path>) -> Cmd<'_> {
        self.shell.cmd(program)
    }

    /// Runs a command in a folder of the workspace, its output shown as it comes.
    pub(crate) fn run_in(&self, folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
        let _back_to_root = self.shell.push_dir(folder);
        self.shell.cmd(program).args(arguments).run()?;
        Ok(())
    }

    /// Whether a command can be started and ends well; its output is not shown.
    pub(crate) fn answers(&self, program: impl AsRef<Path>, arguments: &[&str]) -> bool {
        self.program(program).args(arguments).quiet().output().is_ok()
    }

    /// Where programs that a step installs for itself are kept.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}

impl Member {
    /// The crate's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    /// The crate's `Cargo.toml`.
    pub(crate) fn manifest(&self) -> &Path {
        &self.manifest_path
    }
}

/// A cargo command without what the outer `cargo run` put into the environment:
/// build scripts that watch those variables would run again on every switch
/// between `cargo xtask` and plain cargo.
fn cargo<'shell>(shell: &'shell Shell, arguments: &[&str]) -> Cmd<'shell> {
    let ours = env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    let mut command = shell.cmd("cargo").args(arguments);
    for (name, _) in ours {
        command = command.env_remove(name);
    }
    command
}
