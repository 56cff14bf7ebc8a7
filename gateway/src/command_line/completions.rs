//! `tokensocket completions`: what a shell needs to complete this command line.
//!
//! In: a shell. Out: its script on standard output.

use std::io::{self, Write};

use clap::Args;
use clap_complete::Shell;

use super::manual;

/// Prints a script that completes this command line in a shell
///
/// Put what it prints where SHELL looks for completions, and commands and options complete with the tab key.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket completions bash >/etc/bash_completion.d/tokensocket
  tokensocket completions zsh >/usr/local/share/zsh/site-functions/_tokensocket
  tokensocket completions fish >~/.config/fish/completions/tokensocket.fish"),
]))]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, mut command: clap::Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        Ok(io::stdout().lock().write_all(&script)?)
    }
}
