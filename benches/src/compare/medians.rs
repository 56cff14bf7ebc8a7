//! Medians over the rounds of one row.
//!
//! In: the reports of all rounds that did not fail. Out: figures. Pure.

use crate::report::{Latency, Report, Window};

/// The reports of one row, one of each round.
#[derive(Clone, Debug, Default)]
pub(super) struct Medians<'a> {
    reports: Vec<&'a Report>,
}

impl<'a> Medians<'a> {
    /// Over these.
    pub(super) fn of(reports: impl IntoIterator<Item = &'a Report>) -> Self {
        Self { reports: reports.into_iter().collect() }
    }

    /// How many rounds there are.
    pub(super) fn rounds(&self) -> usize {
        self.reports.len()
    }

    /// Of what `pick` finds in a report; none when it finds nothing in any.
    pub(super) fn over(&self, pick: impl Fn(&Report) -> Option<f64>) -> Option<f64> {
        median(self.reports.iter().filter_map(|report| pick(report)))
    }

    /// The same of the counted stretch.
    pub(super) fn window(&self, pick: impl Fn(&Window) -> Option<f64>) -> Option<f64> {
        self.over(|report| report.window.as_ref().and_then(&pick))
    }

    /// What `pick` finds in it, for so many of what was counted.
    pub(super) fn for_many(&self, many: f64, pick: impl Fn(&Window) -> Option<f64>) -> Option<f64> {
        self.window(|window| Some(pick(window)? / to_f64(window.count) * many))
    }

    /// Counted per second on the clock.
    pub(super) fn per_second(&self) -> Option<f64> {
        self.window(|window| Some(window.per_second()))
    }

    /// A latency in nanoseconds.
    pub(super) fn latency(&self, pick: fn(&Latency) -> u64) -> Option<f64> {
        self.over(|report| report.latency.as_ref().map(|latency| to_f64(pick(latency))))
    }

    /// The same in milliseconds.
    pub(super) fn milliseconds(&self, pick: fn(&Latency) -> u64) -> Option<f64> {
        self.latency(pick).map(|nanoseconds| nanoseconds / 1e6)
    }
}

/// The middle of `values`; of an even number the mean of the middle two.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(upper, values[middle - 1]))
}

/// A count, or nanoseconds of a run, as a figure.
#[allow(clippy::cast_precision_loss, reason = "counts and latencies stay far below 2^52")]
pub(super) fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_number_has_the_mean_of_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([]), None);
    }
}
