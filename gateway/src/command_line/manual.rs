//! The parts of `--help` that make it read like a manual page: examples, exit status, environment.
//!
//! In: titles and texts. Out: help text, whose titles look as clap's own do. Colours are clap's affair:
//! it leaves them out when nobody sees them.

use std::fmt::Write;

use anstyle::Style;
use clap::builder::StyledStr;

/// A title and its text, indented as it shall appear.
pub(super) type Section<'a> = (&'a str, &'a str);

/// What the exit status says, for every command.
pub(super) const EXIT_STATUS: Section<'static> = (
    "Exit status",
    "  \
  0  done
  1  the server refused or answered with an error, or the command failed
  2  the command line is wrong; nothing was done
  3  the server cannot be reached, or did not answer in time",
);

/// What `serve`'s exit status says.
pub(super) const SERVE_EXIT_STATUS: Section<'static> = (
    "Exit status",
    "  \
  0  ended by SIGTERM or Ctrl-C, every connection closed in order
  1  the address cannot be listened on, the data directory cannot be opened, or a second signal ended it
     at once
  2  the command line is wrong; nothing was served",
);

/// What the environment changes, for every command.
pub(super) const ENVIRONMENT: Section<'static> = (
    "Environment",
    "  \
  TOKENSOCKET_URL     the server that commands speak to, in place of --url
  TOKENSOCKET_LISTEN  where serve listens, in place of --listen
  TOKENSOCKET_DATA    where serve keeps things, in place of --data
  BROKER_URL          the engine that serve shares with other gateways, in place of --broker
  TOKENSOCKET_CONFIG  the configuration, in place of --config
  TOKENSOCKET_SITE    the site that commands ask for, in place of --site
  TOKENSOCKET_KEY     its API key, in place of --key
  RUST_LOG            what is logged, in place of --log
  NO_COLOR            when set, nothing is coloured",
);

/// Puts sections together, one below the other.
pub(super) fn sections(sections: &[Section<'_>]) -> StyledStr {
    let title = Style::new().bold().underline();
    let mut help = StyledStr::new();
    for (at, (name, text)) in sections.iter().enumerate() {
        let gap = if at == 0 { "" } else { "\n\n" };
        // Writing to a string cannot fail.
        let _ = write!(help, "{gap}{title}{name}:{title:#}\n{text}");
    }
    help
}
