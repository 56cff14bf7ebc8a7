//! Making the servers that a comparison starts.
//!
//! In: which kinds are needed. Out: the programs. Cargo and npm print what they
//! do on standard error, as always.

use std::{
    collections::HashMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use super::error::CompareError;

/// This crate's folder in the checkout.
fn benches() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the servers written for Node.js are.
pub(super) fn node_peers() -> PathBuf {
    benches().join("peers")
}

/// Builds the example `playground` and says where it is.
pub(super) fn playground() -> Result<PathBuf, CompareError> {
    let mut command = cargo(&benches().join("../Cargo.toml"));
    command.args(["--package", "tokensocket-examples", "--example", "playground"]);
    pick(&mut build(command)?, "playground")
}

/// Builds the example `cores` and says where it is.
pub(super) fn cores_program() -> Result<PathBuf, CompareError> {
    let mut command = cargo(&benches().join("../Cargo.toml"));
    command.args(["--package", "tokensocket-benches", "--example", "cores"]);
    pick(&mut build(command)?, "cores")
}

/// Builds the program `tokensocket` and says where it is.
pub(super) fn gateway_program() -> Result<PathBuf, CompareError> {
    let mut command = cargo(&benches().join("../Cargo.toml"));
    command.args(["--package", "tokensocket", "--bin", "tokensocket"]);
    pick(&mut build(command)?, "tokensocket")
}

/// Builds the example `durable` and says where it is.
pub(super) fn durable_program() -> Result<PathBuf, CompareError> {
    let mut command = cargo(&benches().join("../Cargo.toml"));
    command.args(["--package", "tokensocket-benches", "--example", "durable"]);
    pick(&mut build(command)?, "durable")
}

/// Builds the example `node` and says where it is.
pub(super) fn node_program() -> Result<PathBuf, CompareError> {
    let mut command = cargo(&benches().join("../Cargo.toml"));
    command.args(["--package", "tokensocket-benches", "--example", "node"]);
    pick(&mut build(command)?, "node")
}

/// Builds the peers written in Rust: name to program.
pub(super) fn rust_peers() -> Result<HashMap<String, PathBuf>, CompareError> {
    build(cargo(&benches().join("peers-rust/Cargo.toml")))
}

/// Takes the program called `name` out of `built`.
pub(super) fn pick(built: &mut HashMap<String, PathBuf>, name: &str) -> Result<PathBuf, CompareError> {
    built.remove(name).ok_or_else(|| CompareError::Start {
        name: name.to_owned(),
        reason: "cargo built no such program".to_owned(),
    })
}

/// Installs what the Node.js peers need, when it is not there yet or older than
/// what they ask for.
pub(super) fn install_node_peers() -> Result<(), CompareError> {
    let changed = |file: &str| node_peers().join(file).metadata().and_then(|file| file.modified());
    if let (Ok(installed), Ok(wanted)) =
        (changed("node_modules/.package-lock.json"), changed("package-lock.json"))
        && installed >= wanted
    {
        return Ok(());
    }
    let mut command = Command::new("npm");
    command.args(["ci", "--no-audit", "--no-fund"]).current_dir(node_peers()).stdout(Stdio::null());
    finish(&mut command)
}

fn cargo(manifest: &Path) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command
        .args(["build", "--release", "--locked", "--message-format"])
        .arg("json-render-diagnostics")
        .arg("--manifest-path")
        .arg(manifest)
        .stderr(Stdio::inherit());
    command
}

#[derive(Deserialize)]
struct Artifact {
    target: Named,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

fn build(mut command: Command) -> Result<HashMap<String, PathBuf>, CompareError> {
    let output = command.output().map_err(|source| not_run(&command, source))?;
    if !output.status.success() {
        return Err(failed(&command));
    }
    Ok(programs(&String::from_utf8_lossy(&output.stdout)))
}

/// The programs that cargo's messages name.
fn programs(messages: &str) -> HashMap<String, PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter_map(|artifact| Some((artifact.target.name, artifact.executable?)))
        .collect()
}

fn finish(command: &mut Command) -> Result<(), CompareError> {
    let status = command.status().map_err(|source| not_run(command, source))?;
    if status.success() { Ok(()) } else { Err(failed(command)) }
}

fn not_run(command: &Command, source: std::io::Error) -> CompareError {
    CompareError::Program { program: command.get_program().to_string_lossy().into_owned(), source }
}

fn failed(command: &Command) -> CompareError {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    CompareError::Build { command: words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_among_cargos_messages() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"floor-peer"},"executable":"/x/floor-peer"}
            {"reason":"build-finished","success":true}"#;
        let found = programs(messages);
        assert_eq!(found.len(), 1);
        assert_eq!(found["floor-peer"], Path::new("/x/floor-peer"));
    }
}
