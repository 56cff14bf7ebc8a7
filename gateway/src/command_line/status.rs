//! How a command's end becomes an exit status and, after a failure, a complaint.
//!
//! In: a command's outcome. Out: 0, or 1, 2, 3 as `--help` lists them, and words on standard error.

use std::io;
use std::process::ExitCode;

use tokensocket_client::{Error, RpcError};

use super::connection::ConnectError;
use super::gateway::GatewayError;
use super::json_argument::JsonArgumentError;
use super::man::NoSuchCommand;
use super::serve::{PublicAddress, WrongBroker};
use super::sub::SinceOfSeveral;
use super::token::NobodyNamed;

const FAILED: u8 = 1;
const WRONG_COMMAND_LINE: u8 = 2;
const NO_ANSWER: u8 = 3;

/// The exit status of an outcome. Complains about a failure.
pub(super) fn of(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let style = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{style}error:{style:#} {}", words(&error));
            ExitCode::from(number(&error))
        }
    }
}

fn number(error: &anyhow::Error) -> u8 {
    error
        .chain()
        .find_map(|cause| {
            if cause.is::<PublicAddress>()
                || cause.is::<WrongBroker>()
                || cause.is::<JsonArgumentError>()
                || cause.is::<SinceOfSeveral>()
                || cause.is::<NoSuchCommand>()
                || cause.is::<NobodyNamed>()
            {
                return Some(WRONG_COMMAND_LINE);
            }
            if let Some(error) = cause.downcast_ref::<ConnectError>() {
                return Some(match error {
                    ConnectError::Build(_) => WRONG_COMMAND_LINE,
                    ConnectError::Refused { .. } => FAILED,
                    ConnectError::Unreachable { .. } | ConnectError::Timeout { .. } => NO_ANSWER,
                });
            }
            if let Some(error) = cause.downcast_ref::<GatewayError>() {
                return Some(match error {
                    GatewayError::Address { .. } | GatewayError::Site(_) => WRONG_COMMAND_LINE,
                    GatewayError::Configuration(_)
                    | GatewayError::Tls(_)
                    | GatewayError::Refused { .. }
                    | GatewayError::Strange { .. } => FAILED,
                    GatewayError::Unreachable { .. } | GatewayError::Timeout { .. } => NO_ANSWER,
                });
            }
            match cause.downcast_ref::<Error>()? {
                Error::Channel(_) => Some(WRONG_COMMAND_LINE),
                Error::Timeout | Error::Disconnected | Error::Ended => Some(NO_ANSWER),
                _ => Some(FAILED),
            }
        })
        .unwrap_or(FAILED)
}

fn words(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Error>() {
        Some(Error::Server(refusal)) => refusal_words(refusal),
        _ => format!("{error:#}"),
    }
}

/// What a server's error says, with all that came with it.
fn refusal_words(refusal: &RpcError) -> String {
    let mut words = match refusal.message() {
        "" => format!("{} ({})", refusal.error(), refusal.code()),
        _ => refusal.to_string(),
    };
    if let Some(details) = refusal.details() {
        words.push_str("\ndetails: ");
        words.push_str(details.as_str());
    }
    words
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
