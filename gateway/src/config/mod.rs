//! What the gateway is told: files and the environment, as values that are whole and checked.
//!
//! ```text
//! files ─▶ tree (values that know their lines) ─▶ layer ─┐
//!                            environment ─▶ layer ───────┴▶ settings, sites ─▶ checked
//! ```
//!
//! In: files in YAML or TOML, variables. Out: [`Settings`], or every mistake with its line and what to write instead.
//! It must not know what is done with any of it.

mod broker;
mod file;
mod layer;
mod mistake;
mod settings;
mod site;
#[cfg(test)]
mod tests;
mod tree;
mod value;

pub(crate) use broker::{BrokerConfig, BrokerKind, BrokerUrl};
pub(crate) use mistake::{Mistake, Mistaken};
pub(crate) use settings::{Loaded, Settings, is_in_environment, load, load_text};
#[cfg(test)]
pub(crate) use site::Secret;
pub(crate) use site::{Algorithm, AuthUrl, EVENTS_PATH, JwtConfig, JwtKey, SiteConfig, public_key};
pub(crate) use value::EventMode;
