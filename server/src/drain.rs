//! How fast a server that ends sends its clients elsewhere.
//!
//! In: what the builder was told, how many connections there are. Out: the time between two of them.

use std::time::Duration;

/// How [`Server::shutdown`](crate::Server::shutdown) closes connections.
///
/// At a pace, each connection is served as before until its turn has come; then its calls in flight may finish within
/// the `shutdown_timeout`, and it is closed with 1012. Its client is told to come back at once, so the other nodes get
/// connections as fast as this one lets them go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drain(Pace);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Pace {
    #[default]
    AtOnce,
    Over(Duration),
    Rate {
        per_second: u32,
        at_most: Option<Duration>,
    },
}

impl Drain {
    /// All at the same moment. Clients that understand it are told to spread their return over the `reconnect_spread`;
    /// others come when they come. The default.
    pub fn at_once() -> Self {
        Self(Pace::AtOnce)
    }

    /// One after the other, evenly over this time, however many there are.
    pub fn over(window: Duration) -> Self {
        Self(Pace::Over(window))
    }

    /// So many connections in a second, for as long as that takes. 0 is taken for 1.
    pub fn at_rate(per_second: u32) -> Self {
        Self(Pace::Rate { per_second: per_second.max(1), at_most: None })
    }

    /// Faster where all could not be gone within this time otherwise: say what your supervisor allows, without the
    /// `shutdown_timeout`. Without a rate it has no effect.
    #[must_use]
    pub fn at_most(self, window: Duration) -> Self {
        match self.0 {
            Pace::Rate { per_second, .. } => Self(Pace::Rate { per_second, at_most: Some(window) }),
            _ => self,
        }
    }

    /// The time between two of so many connections; `None`: there is none.
    pub(crate) fn period(self, connections: usize) -> Option<Duration> {
        let share = |window: Duration| {
            window.div_f64(f64::from(u32::try_from(connections.max(1)).unwrap_or(u32::MAX)))
        };
        match self.0 {
            Pace::AtOnce => None,
            Pace::Over(window) => Some(share(window)),
            Pace::Rate { per_second, at_most } => {
                let period = Duration::from_secs(1) / per_second;
                Some(at_most.map_or(period, |window| period.min(share(window))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_long_to_wait_between_two() {
        let ms = Duration::from_millis;
        assert_eq!(Drain::at_once().period(10), None);
        assert_eq!(Drain::at_once().at_most(ms(5)).period(10), None);
        assert_eq!(Drain::over(ms(1000)).period(10), Some(ms(100)));
        assert_eq!(Drain::over(ms(1000)).period(0), Some(ms(1000)));
        assert_eq!(Drain::at_rate(50).period(10_000), Some(ms(20)));
        assert_eq!(Drain::at_rate(50).at_most(ms(10_000)).period(10), Some(ms(20)));
        assert_eq!(Drain::at_rate(50).at_most(ms(10_000)).period(10_000), Some(ms(1)));
        assert_eq!(Drain::at_rate(0).period(1), Some(ms(1000)));
    }
}
