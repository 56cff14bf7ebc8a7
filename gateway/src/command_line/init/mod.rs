//! `tokensocket init`: a configuration to begin with.
//!
//! In: a file's name, and what is known of the first site. Out: the file, with a comment for every setting there is.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rand::Rng;
use serde_json::json;

use super::manual;

const YAML: &str = include_str!("tokensocket.yml");
const TOML: &str = include_str!("tokensocket.toml");
/// A key has so many bytes of randomness.
const KEY_BYTES: usize = 32;

/// Writes a configuration to begin with
///
/// Writes FILE with one site, a new random API key for it, and a comment for every setting that there is. As TOML if the
/// name ends in `.toml`, else as YAML. A file that is there already is left as it is, unless --force is given. The file
/// can be read by its owner only, since the key is in it.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket init
  tokensocket init --site newsite --auth-url http://127.0.0.1:3000/socketrooms
  tokensocket init /etc/tokensocket/tokensocket.toml
  tokensocket init - | less"),
    ("Exit status", "  \
  0  written
  1  the file is there already, or cannot be written
  2  the command line is wrong; nothing was written"),
]))]
pub(super) struct Init {
    /// The file; `-` prints it
    #[arg(value_name = "FILE", default_value = "tokensocket.yml")]
    file: PathBuf,
    /// The first site's name
    #[arg(long, value_name = "NAME", default_value = "newsite", value_parser = site)]
    site: String,
    /// Where the site's application says which rooms a client belongs to
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000/socketrooms", value_parser = url)]
    auth_url: String,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// Say what was written as JSON
    #[arg(long)]
    json: bool,
}

/// The file is there.
#[derive(Debug, thiserror::Error)]
#[error("{} is there already; --force writes over it, and another name writes beside it", .0.display())]
struct IsThere(PathBuf);

fn site(text: &str) -> Result<String, String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err("use up to 64 letters, digits, - and _: it is part of addresses".to_owned());
    }
    Ok(text.to_owned())
}

fn url(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.into()),
        _ => Err("write it as http://host/path".to_owned()),
    }
}

impl Init {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let text = self.text();
        if self.file.as_os_str() == "-" {
            return Ok(io::stdout().lock().write_all(text.as_bytes())?);
        }
        self.write(&text)?;
        let mut out = io::stdout().lock();
        let file = self.file.display();
        if self.json {
            writeln!(out, "{}", json!({ "file": self.file, "site": self.site }))?;
        } else {
            writeln!(out, "{file} is written, with a new key for the site {}. What to try next:", self.site)?;
            writeln!(out, "  tokensocket check {file}\n  tokensocket serve --config {file}")?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let is_toml = self.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        let template = if is_toml { TOML } else { YAML };
        fill(template, &self.site, &self.auth_url, &key())
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true);
        if self.force {
            options.create(true).truncate(true)
        } else {
            options.create_new(true)
        };
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(IsThere(self.file.clone()).into())
            }
            opened => opened
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .with_context(|| cannot(&self.file)),
        }
    }
}

fn cannot(file: &Path) -> String {
    format!("cannot write {}", file.display())
}

fn fill(template: &str, site: &str, auth_url: &str, key: &str) -> String {
    template.replace("KEY", key).replace("SITE", site).replace("AUTH_URL", auth_url)
}

/// A text that nobody guesses.
fn key() -> String {
    let mut bytes = [0_u8; KEY_BYTES];
    rand::rng().fill(&mut bytes);
    bytes.iter().fold(String::new(), |mut key, byte| {
        // Writing to a string cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut key, format_args!("{byte:02x}"));
        key
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;
    use crate::config;

    /// Mistakes and notes of a configuration.
    fn mistakes(name: &str, text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let loaded = config::load(&[file], |_| None);
        loaded.mistakes.iter().map(ToString::to_string).collect()
    }

    fn filled(template: &str) -> String {
        fill(template, "newsite", "http://127.0.0.1:3000/socketrooms", &key())
    }

    #[test]
    fn what_is_written_has_no_mistake() {
        for (name, template) in [("tokensocket.yml", YAML), ("tokensocket.toml", TOML)] {
            assert_eq!(mistakes(name, &filled(template)), Vec::<String>::new(), "{name}");
        }
    }

    /// The name of a setting, commented out or not: `name: value`, or `name = value`.
    fn setting(line: &str) -> Option<&str> {
        let text = line.trim_start();
        let text = text.strip_prefix("# ").unwrap_or(text);
        let (name, _) = text.split_once(": ").or_else(|| text.split_once(" = "))?;
        let is_name = name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
            || (name.starts_with(|first: char| first.is_ascii_lowercase())
                && name.chars().all(|letter| letter.is_ascii_alphanumeric()));
        is_name.then_some(name)
    }

    #[test]
    fn every_setting_that_is_commented_out_can_be_used() {
        for (name, template) in [("tokensocket.yml", YAML), ("tokensocket.toml", TOML)] {
            let text = filled(template);
            let lines: Vec<&str> = text.lines().collect();
            let is_out = |line: &str| line.trim_start().starts_with("# ") && setting(line).is_some();
            let out: Vec<usize> = (0..lines.len()).filter(|at| is_out(lines[*at])).collect();
            assert!(out.len() > 20, "{name}: only {} settings are commented out", out.len());
            for at in out {
                let mut lines = lines.clone();
                let line = lines[at].replacen("# ", "", 1);
                lines[at] = &line;
                // Notes on what has an effect only together with another setting are no surprise here.
                let mut found = mistakes(name, &lines.join("\n"));
                found.retain(|mistake| !mistake.contains("without `") && !mistake.contains("built without"));
                assert_eq!(found, Vec::<String>::new(), "{name}: {line}");
            }
        }
    }

    #[test]
    fn both_forms_have_the_same_settings() {
        let names = |text: &'static str| text.lines().filter_map(setting).collect::<Vec<_>>();
        assert_eq!(names(YAML), names(TOML));
    }

    #[test]
    fn keys_are_long_and_never_the_same() {
        assert_eq!(key().len(), 2 * KEY_BYTES);
        assert_ne!(key(), key());
    }
}
