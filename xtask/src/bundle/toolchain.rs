//! Which Rust toolchain builds the `.wasm`, and how.
//!
//! Comes in: what is installed. Goes out: a `.wasm`. With the standard library's sources it is built along,
//! for size, which saves about a quarter; only nightly flags can say that, so a stable compiler is told to
//! take them, as the standard library's own build does. Without the sources the standard library is taken
//! as it was installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::Cmd;

use crate::workspace::Workspace;

const TARGET: &str = "wasm32-unknown-unknown";
/// The standard library's sources, below a toolchain's folder.
const SOURCES: &str = "lib/rustlib/src/rust/library/std/Cargo.toml";
/// What no build may take over from whoever started it: another toolchain, or flags.
const FOREIGN: [&str; 9] = [
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "CARGO_TARGET_DIR",
];

/// A toolchain that can build for browsers.
pub(super) struct Toolchain {
    /// What was chosen and why, for people.
    pub(super) about: String,
    /// What the compiler says of itself.
    pub(super) version: String,
    /// How the standard library gets in: built along for size, or as installed.
    pub(super) builds_std: bool,
    folder: PathBuf,
    linker: Option<PathBuf>,
}

impl Toolchain {
    /// Rustup's where its target is installed, else Debian's packages.
    pub(super) fn find(workspace: &Workspace) -> Result<Self> {
        let rustups = workspace.program("rustc").args(["--print", "sysroot"]).quiet().ignore_stderr().read();
        let rustups = rustups.ok().map(PathBuf::from).filter(|folder| folder != Path::new("/usr"));
        if let Some(folder) = rustups
            && folder.join("lib/rustlib").join(TARGET).is_dir()
        {
            let builds_std = folder.join(SOURCES).is_file();
            let how = if builds_std { "with" } else { "without" };
            let about = format!("rustup's, with {TARGET}, {how} rust-src");
            return Self::new(workspace, &about, folder, builds_std, None);
        }
        let debians = PathBuf::from("/usr");
        if debians.join("bin/rustc").is_file() && debians.join(SOURCES).is_file() {
            let linker = linker().context("there is no wasm-ld: run `apt-get install lld-22`")?;
            let about = format!(
                "Debian's, since rustup has no {TARGET} installed; linker {}",
                linker.file_name().unwrap_or_default().to_string_lossy()
            );
            return Self::new(workspace, &about, debians, true, Some(linker));
        }
        bail!(
            "no toolchain builds for browsers: run `rustup target add {TARGET}` and `rustup component add \
             rust-src`, or `apt-get install rustc-web cargo-web rust-web-src lld-22`"
        )
    }

    fn new(
        workspace: &Workspace,
        about: &str,
        folder: PathBuf,
        builds_std: bool,
        linker: Option<PathBuf>,
    ) -> Result<Self> {
        let rustc = workspace.program(folder.join("bin/rustc")).arg("--version").quiet();
        let version = FOREIGN.iter().fold(rustc, Cmd::env_remove).read()?;
        Ok(Self { about: format!("{version}, {about}"), version, builds_std, folder, linker })
    }

    /// Builds a crate's JavaScript face. Says where the `.wasm` is.
    pub(super) fn build(&self, workspace: &Workspace, package: &str) -> Result<PathBuf> {
        let features = ["--no-default-features", "--features", "bundle"];
        self.compile(workspace, package, &features, &self.flags(workspace))
    }

    /// Builds a page written in Rust, as it is: its size is its own affair. Says where the `.wasm` is.
    pub(super) fn build_page(&self, workspace: &Workspace, package: &str) -> Result<PathBuf> {
        self.compile(workspace, package, &[], "")
    }

    fn compile(
        &self,
        workspace: &Workspace,
        package: &str,
        features: &[&str],
        flags: &str,
    ) -> Result<PathBuf> {
        // A folder of its own, so that two compilers don't rebuild what the other built.
        let target = workspace.target.join("wasm");
        let mut command = workspace.program(self.folder.join("bin/cargo"));
        command = FOREIGN.iter().fold(command, Cmd::env_remove);
        command = command
            .args(["build", "--locked", "--profile", "wasm", "--target", TARGET, "--package", package])
            .args(features)
            .arg("--target-dir")
            .arg(&target)
            .env("CARGO", self.folder.join("bin/cargo"))
            .env("RUSTC", self.folder.join("bin/rustc"))
            .env("PATH", self.path()?)
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags);
        if self.builds_std {
            command = command
                .env("RUSTC_BOOTSTRAP", "1")
                .args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
        }
        if let Some(linker) = &self.linker {
            command = command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command.run()?;
        let file = format!("{}.wasm", package.replace('-', "_"));
        Ok(target.join(TARGET).join("wasm").join(file))
    }

    fn flags(&self, workspace: &Workspace) -> String {
        if self.builds_std {
            return "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=none"
                .to_owned();
        }
        // A panic's place in the sources is told there, and must not tell of this machine.
        let folders = [("CARGO_HOME", "/cargo"), ("HOME", "/home")].map(|(variable, name)| {
            let folder = std::env::var(variable).unwrap_or_default();
            if folder.is_empty() { folder } else { format!(" --remap-path-prefix={folder}={name}") }
        });
        format!("--remap-path-prefix={}=.{}", workspace.root.display(), folders.concat())
    }

    /// This toolchain's programs before any others, such as rustup's.
    fn path(&self) -> Result<std::ffi::OsString> {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.folder.join("bin")).chain(std::env::split_paths(&others));
        std::env::join_paths(folders).context("PATH has a folder that cannot be named")
    }
}

/// The newest of the `wasm-ld`s that Debian's packages bring, of which each has its version in its name.
fn linker() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/bin").ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let version = name.strip_prefix("wasm-ld")?.trim_start_matches('-').parse().unwrap_or(0_u32);
        Some((version, Path::new("/usr/bin").join(name)))
    });
    found.max().map(|(_, linker)| linker)
}
