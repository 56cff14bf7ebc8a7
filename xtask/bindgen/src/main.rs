//! wasm-bindgen as a program of the workspace, for `cargo xtask bundle`.
//!
//! Comes in: a `.wasm` that rustc made, and a folder. Goes out: the `.wasm` as a page loads it and its
//! JavaScript, in that folder. A crate of its own, since wasm-bindgen's library takes longer to build than
//! all of `cargo xtask`, which starts every other command.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, folder, name] = arguments.as_slice() else {
        eprintln!("usage: xtask-bindgen INPUT.wasm FOLDER NAME");
        return ExitCode::FAILURE;
    };
    match bind(Path::new(input), Path::new(folder), name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bind(input: &Path, folder: &Path, name: &str) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(input).out_name(name).typescript(true).web(true)?;
    bindgen
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)
        .with_context(|| format!("wasm-bindgen cannot read {}", input.display()))
}
