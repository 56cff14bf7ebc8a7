//! What was found, as a table.

use super::{Place, title};
use crate::compare::{
    medians::to_f64,
    series::Series,
    service::{engine_cpu, nodes_cpu},
    table::{
        self,
        Column::{Figures, Words},
        or_dash,
    },
};

/// CPU seconds are told for so many requests.
const MANY: f64 = 10_000.0;

/// A row for each place.
pub(super) fn table(series: &Series<Place>, markdown: bool) -> String {
    let mut table = table::table([
        Words("to"),
        Words("server"),
        Figures("requests a second"),
        Figures("p50 ms"),
        Figures("p99 ms"),
        Figures("per CPU second"),
        Figures("CPU s for 10,000"),
        Figures("engine beside"),
    ]);
    for (Place { stack, to }, medians) in series.rows() {
        let whole = |figure| format!("{figure:.0}");
        let hundredths = |figure| format!("{figure:.2}");
        table.add_row([
            title(to).to_owned(),
            stack.title().to_owned(),
            or_dash(medians.per_second(), whole),
            or_dash(medians.milliseconds(|latency| latency.p50), hundredths),
            or_dash(medians.milliseconds(|latency| latency.p99), hundredths),
            or_dash(medians.window(|window| Some(to_f64(window.count) / nodes_cpu(window)?)), whole),
            or_dash(medians.for_many(MANY, nodes_cpu), hundredths),
            or_dash(medians.for_many(MANY, engine_cpu), hundredths),
        ]);
    }
    series.told(
        &table::show(table, markdown),
        "Servers and engine on one core, the load on another. 64 requests under way (4 to the room); the next is made \
         when the one before is answered and every device has it. Of two gateways, a request goes to the one where its \
         device is not. Latencies run to the last device's handler, or, to one who is away, to the answer. CPU time is \
         that of both gateways. NATS keeps queues in files, which it syncs every two minutes.",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;
    use crate::{
        compare::{facts::Facts, send::stack::Stack, series::Measured},
        workload::Whom,
    };

    fn row(stack: Stack, beside: &[(&str, f64)]) -> Vec<String> {
        let place = Place { stack, to: Whom::Room };
        let of = |count| Measured::in_a_second(place, count, [1_000_000, 2_500_000], beside);
        let measured = [100, 300, 200].map(of);
        let series = Series { facts: Facts::default(), seconds: 1.0, measured: measured.into() };
        let text = table(&series, true);
        let row = text.lines().find(|line| line.contains("a room of 100")).unwrap();
        row.split('|').skip(3).take(6).map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn tells_the_median_of_each_stack() {
        let cells = row(Stack::Redis, &[("redis-server", 0.1)]);
        assert_eq!(cells, ["200", "1.00", "2.50", "400", "25.00", "5.00"]);
    }

    #[test]
    fn counts_the_time_of_both_gateways() {
        let cells = row(Stack::TwoOnNats, &[("node 2", 0.5), ("nats-server", 0.1)]);
        assert_eq!(cells, ["200", "1.00", "2.50", "200", "50.00", "5.00"]);
    }
}
