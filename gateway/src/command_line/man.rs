//! `tokensocket man`: this command line's help as manual pages.
//!
//! In: which command, or a directory for all of them. Out: a page for `man` on standard output, or one file for each
//! command.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use clap_mangen::Man as Page;

use super::manual;

/// Prints manual pages
///
/// Prints the page of COMMAND, or of the program, as `man` reads it. With --directory all of them are written there.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket man serve | man -l -
  tokensocket man --directory /usr/local/share/man/man1"),
]))]
pub(super) struct Man {
    /// Of which command; without it, of the program
    command: Option<String>,
    /// Write all pages into this directory, which is made if it is not there
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "command")]
    directory: Option<PathBuf>,
}

/// There is no such command.
#[derive(Debug, thiserror::Error)]
#[error("there is no command {0}; `tokensocket help` lists them")]
pub(super) struct NoSuchCommand(String);

impl Man {
    pub(super) fn run(self, program: clap::Command) -> anyhow::Result<()> {
        let mut program = program.disable_help_subcommand(true);
        program.build();
        if let Some(directory) = &self.directory {
            let cannot = || format!("cannot write into {}", directory.display());
            fs::create_dir_all(directory).with_context(cannot)?;
            return write_all(program, directory).with_context(cannot);
        }
        let command = match self.command {
            None => program,
            Some(name) => match program.find_subcommand(&name) {
                Some(command) => command.clone(),
                None => return Err(NoSuchCommand(name).into()),
            },
        };
        Ok(io::stdout().lock().write_all(&render(command)?)?)
    }
}

/// Writes the page of a command, and those of the commands below it.
fn write_all(command: clap::Command, directory: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_all(below.clone(), directory)?;
    }
    let file = directory.join(Page::new(command.clone()).get_filename());
    fs::write(file, render(command)?)
}

fn render(command: clap::Command) -> io::Result<Vec<u8>> {
    let more = command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string);
    let has_commands = command.has_subcommands();
    let source = format!("tokensocket {}", env!("CARGO_PKG_VERSION"));
    let page = Page::new(command).source(source).manual("TokenSocket");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if has_commands {
        page.render_subcommands_section(&mut text)?;
    }
    for line in more.iter().flat_map(|more| more.lines()) {
        match line.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
            Some(title) => writeln!(text, ".SH \"{}\"\n.nf", title.to_uppercase())?,
            None => writeln!(text, "{}", escaped(line))?,
        }
    }
    Ok(text)
}

/// A line of text that is no instruction to `man`, and whose dashes can be copied into a shell.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_no_instruction() {
        assert_eq!(escaped(r"  a --b 'c' \n"), r"  a \-\-b \(aqc\(aq \en");
        assert_eq!(escaped(".SH"), r"\&.SH");
        assert_eq!(escaped("'br"), r"\(aqbr");
    }
}
