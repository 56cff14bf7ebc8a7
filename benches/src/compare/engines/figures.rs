//! What was found, as a table and as a plot.

use super::{Place, course::COURSES};
use crate::compare::{
    medians::Medians,
    plot::{Bar, Plot, Section},
    series::Series,
    service::{engine_cpu, nodes_cpu},
    table::{
        self,
        Column::{Figures, Words},
        grouped, or_dash,
    },
};

/// CPU seconds are told for so many of what was counted.
const MANY: f64 = 100_000.0;

/// A row for each place.
pub(super) fn table(series: &Series<Place>, markdown: bool) -> String {
    let mut table = table::table([
        Words("what"),
        Words("server"),
        Figures("nodes"),
        Figures("a second"),
        Figures("of one without"),
        Figures("p50 ms"),
        Figures("p99 ms"),
        Figures("added p50"),
        Figures("added p99"),
        Figures("CPU s for 100,000: nodes"),
        Figures("engine"),
    ]);
    let rows = series.rows();
    for (place, medians) in &rows {
        let base = place.without_engine().and_then(|base| rows.iter().find(|(place, _)| *place == base));
        let told = |medians: &Medians<'_>| {
            let (p50, p99) = (medians.milliseconds(|all| all.p50), medians.milliseconds(|all| all.p99));
            [medians.per_second(), p50, p99]
        };
        let [rate, p50, p99] = told(medians);
        let [base_rate, base_p50, base_p99] = base.map_or([None; 3], |(_, medians)| told(medians));
        let hundredths = |figure| format!("{figure:.2}");
        let added = |(figure, base)| format!("{:+.2}", figure - base);
        table.add_row([
            place.course.title().to_owned(),
            place.stack.title().to_owned(),
            place.nodes.to_string(),
            or_dash(rate, |rate| format!("{rate:.0}")),
            or_dash(rate.zip(base_rate), |(rate, base)| format!("{:.0} %", rate / base * 100.0)),
            or_dash(p50, hundredths),
            or_dash(p99, hundredths),
            or_dash(p50.zip(base_p50), added),
            or_dash(p99.zip(base_p99), added),
            or_dash(medians.for_many(MANY, nodes_cpu), hundredths),
            or_dash(medians.for_many(MANY, engine_cpu), hundredths),
        ]);
    }
    series.told(
        &table::show(table, markdown),
        "Messages of 128 bytes. All nodes and the engine on one core, the load on another: figures of several nodes tell \
         what nodes cost, not how far they scale. A follower is on another node than the publisher, and a device on \
         another than who delivers, where there is one. Redis keeps nothing on its disk; histories and queues in NATS \
         are in files.",
    )
}

/// For each course the rates, a bar for each place.
pub(super) fn plot(series: &Series<Place>) -> Plot {
    let rows = series.rows();
    let bar = |(place, medians): &(Place, Medians<'_>)| {
        let figure = medians.per_second()?;
        let (stack, nodes) = (place.stack.label(), place.nodes);
        Some(Bar {
            title: format!("{stack}, {nodes} {}", if nodes == 1 { "node" } else { "nodes" }),
            is_ours: place.stack.is_ours(),
            figure,
            shown: grouped(figure),
        })
    };
    let section = |course| {
        let bars = rows.iter().filter(|(place, _)| place.course == course).filter_map(bar).collect();
        Section { heading: format!("{}: a second", course.title()), bars }
    };
    Plot {
        title: "What goes through nodes that share an engine".to_owned(),
        sections: COURSES.map(section).into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;
    use crate::compare::{
        engines::{course::Course, stack::Stack},
        facts::Facts,
        series::Measured,
    };

    fn measured(stack: Stack, count: u64, p50: u64, beside: &[(&str, f64)]) -> Measured<Place> {
        let nodes = if stack == Stack::Memory { 1 } else { 2 };
        let place = Place { course: Course::Publications, stack, nodes };
        Measured::in_a_second(place, count, [p50, 2 * p50], beside)
    }

    fn series() -> Series<Place> {
        let measured = vec![
            measured(Stack::Memory, 100_000, 1_000_000, &[]),
            measured(Stack::Redis, 50_000, 1_500_000, &[("node 2", 0.25), ("redis-server", 0.1)]),
        ];
        Series { facts: Facts::default(), seconds: 1.0, measured }
    }

    #[test]
    fn tells_what_an_engine_takes_and_adds() {
        let text: String = table(&series(), true).split_whitespace().collect();
        assert!(text.contains("|TokenSocket,inmemory|1|100000|–|1.00|2.00|–|–|0.50|–|"), "{text}");
        assert!(text.contains("|TokenSocket,Redis|2|50000|50%|1.50|3.00|+0.50|+1.00|1.50|0.20|"), "{text}");
    }

    #[test]
    fn draws_a_bar_for_each_number_of_nodes() {
        let plot = plot(&series());
        let bars: Vec<_> =
            plot.sections[0].bars.iter().map(|bar| (bar.title.as_str(), bar.shown.as_str())).collect();
        assert_eq!(
            bars,
            [("TokenSocket, in memory, 1 node", "100,000"), ("TokenSocket, Redis, 2 nodes", "50,000")]
        );
    }

    #[test]
    fn reads_what_was_kept_of_one_measurement() {
        let kept = r#"{"round":1,"course":"deliveries","stack":"SocketioRedis","nodes":3,
            "report":{"unit":"deliveries","window":null,"latency":null,"memory":null}}"#;
        let measured: Measured<Place> = serde_json::from_str(kept).unwrap();
        let wanted = Place { course: Course::FanOut, stack: Stack::SocketioRedis, nodes: 3 };
        assert_eq!(measured.place, wanted);
        let again = serde_json::to_value(&measured).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(kept).unwrap());
    }
}
