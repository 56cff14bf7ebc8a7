//! `Send` and `Sync` where there are threads, and nothing where there are none.
//!
//! A page's handlers hold values of the engine, which are bound to their thread; a server's move between
//! threads. Bounds written with these names fit both.

#[cfg(not(target_family = "wasm"))]
mod bounds {
    /// `Send`; on WebAssembly, which has one thread, every type.
    pub trait MaybeSend: Send {}
    impl<T: Send + ?Sized> MaybeSend for T {}

    /// `Send + Sync`; on WebAssembly, which has one thread, every type.
    pub trait MaybeSync: Send + Sync {}
    impl<T: Send + Sync + ?Sized> MaybeSync for T {}
}

#[cfg(target_family = "wasm")]
mod bounds {
    /// Every type, since WebAssembly has one thread; elsewhere `Send`.
    pub trait MaybeSend {}
    impl<T: ?Sized> MaybeSend for T {}

    /// Every type, since WebAssembly has one thread; elsewhere `Send + Sync`.
    pub trait MaybeSync {}
    impl<T: ?Sized> MaybeSync for T {}
}

pub use bounds::{MaybeSend, MaybeSync};
