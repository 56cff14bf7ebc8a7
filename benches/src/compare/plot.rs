//! A summary as a picture: bars for each workload, ours and the others.
//!
//! In: a [`Summary`]. Out: an SVG document. It brings its own background and
//! colours for light and dark pages, and uses the reader's fonts. Every
//! workload has a scale of its own, from zero to its largest figure.

use svg::{
    Document, Node,
    node::element::{Group, Rectangle, Style, Text, Title},
};

use super::{scale::Scale, server::OURS, summary::Summary};

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 24.0;
/// Where bars begin; the servers' names stand before it.
const BARS: f64 = 260.0;
/// The longest bar; its figure stands behind it.
const LONGEST: f64 = 480.0;
const ROW: f64 = 22.0;
const BAR: f64 = 14.0;
const HEADING: f64 = 34.0;

const STYLE: &str = "
    text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328; }
    .heading { font-weight: 600; }
    .page { fill: #ffffff; }
    .bar { fill: #9aa4b2; }
    .ours { fill: #1f6feb; }
    @media (prefers-color-scheme: dark) {
        text { fill: #e6edf3; }
        .page { fill: #0d1117; }
        .bar { fill: #57606a; }
        .ours { fill: #58a6ff; }
    }
";

/// Draws `summary`.
pub(super) fn draw(summary: &Summary) -> Document {
    let mut drawing = Group::new();
    let mut top = MARGIN / 2.0;
    for workload in &summary.workloads {
        let bars: Vec<_> = summary
            .servers
            .iter()
            .filter_map(|(server, title)| Some((server, title, summary.cell(server, workload)?.figure?)))
            .collect();
        if bars.is_empty() {
            continue;
        }
        drawing.append(
            text(MARGIN, top + HEADING - 12.0, &format!("{workload}: {}", Scale::of(workload).words()))
                .set("class", "heading"),
        );
        top += HEADING;
        let largest = bars.iter().map(|(.., figure)| *figure).fold(f64::MIN_POSITIVE, f64::max);
        for (server, title, figure) in bars {
            let bar = Rectangle::new()
                .set("class", if server.starts_with(OURS) { "bar ours" } else { "bar" })
                .set("x", BARS)
                .set("y", top)
                .set("width", rounded((figure.max(0.0) / largest * LONGEST).max(1.0)))
                .set("height", BAR)
                .set("rx", 2);
            let end = BARS + figure.max(0.0) / largest * LONGEST;
            drawing.append(text(BARS - 10.0, top + 11.5, title).set("text-anchor", "end"));
            drawing.append(bar);
            drawing.append(text(rounded(end + 8.0), top + 11.5, &Scale::of(workload).show(figure)));
            top += ROW;
        }
    }
    let height = top + MARGIN / 2.0;
    let page = Rectangle::new().set("class", "page").set("width", WIDTH).set("height", height).set("rx", 6);
    Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("role", "img")
        .add(Title::new("TokenSocket beside other servers, workload by workload"))
        .add(Style::new(STYLE))
        .add(page)
        .add(drawing)
}

fn text(x: f64, y: f64, content: &str) -> Text {
    Text::new(content).set("x", x).set("y", y)
}

/// To a tenth of a pixel.
fn rounded(pixels: f64) -> f64 {
    (pixels * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::{Facts, Measurement, Record},
        report::{Memory, Report},
        workload::{Idle, Workload},
    };

    fn memory(server: &str, title: &str, after: u64) -> Measurement {
        Measurement {
            round: 1,
            server: server.into(),
            title: title.into(),
            workload: "memory".into(),
            load: Workload::Memory(Idle::default()),
            report: Some(Report {
                unit: "sockets".into(),
                window: None,
                latency: None,
                memory: Some(Memory { sockets: 1, before: 0, after }),
            }),
            failure: None,
        }
    }

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let record = Record {
            facts: Facts::default(),
            cores: None,
            measured_seconds: 1.0,
            measurements: vec![memory(OURS, "Ours", 1_000), memory("x", "<x> & y", 4_000)],
        };
        let drawn = draw(&Summary::of(&record)).to_string();
        assert!(drawn.contains("width=\"120\"") && drawn.contains("width=\"480\""), "{drawn}");
        assert!(drawn.contains("4,000") && drawn.contains("less is better"), "{drawn}");
        assert!(drawn.contains("&lt;x&gt; &amp; y"), "{drawn}");
    }

    #[test]
    fn nothing_measured_is_a_picture_without_bars() {
        let record =
            Record { facts: Facts::default(), cores: None, measured_seconds: 1.0, measurements: Vec::new() };
        assert!(!draw(&Summary::of(&record)).to_string().contains("class=\"bar"));
    }
}
