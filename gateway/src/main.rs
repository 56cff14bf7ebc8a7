//! `tokensocket`: see the library beside it.

use std::process::ExitCode;

/// Messages are made by the threads that serve and freed by the one that writes them to the disk, which the C
/// library's allocator makes both wait for: with it, a tenth less is kept a second (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tokensocket_gateway::run()
}
