//! Figures as a picture: sections of bars, ours and the others'.
//!
//! In: a [`Plot`], of a [`Summary`] for instance. Out: an SVG document. It
//! brings its own background and colours for light and dark pages, and uses the
//! reader's fonts. Every section has a scale of its own, from zero to its
//! largest figure.

use std::path::Path;

use svg::{
    Document, Node,
    node::element::{Group, Rectangle, Style, Text, Title},
};

use super::{error::CompareError, scale::Scale, server::OURS, summary::Summary};

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

/// A picture: sections of bars.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plot {
    /// What it shows, for readers that cannot see it.
    pub(super) title: String,
    /// From top to bottom; those without bars are left out.
    pub(super) sections: Vec<Section>,
}

/// Bars on one scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    /// What their figures are.
    pub(super) heading: String,
    /// From top to bottom.
    pub(super) bars: Vec<Bar>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    /// Whose it is.
    pub(super) title: String,
    /// Whether that is ours.
    pub(super) is_ours: bool,
    /// How long the bar is, in the section's own scale.
    pub(super) figure: f64,
    /// The figure as it is to be read.
    pub(super) shown: String,
}

impl Plot {
    /// A section for each workload, a bar for each server.
    pub(super) fn of(summary: &Summary) -> Self {
        let section = |workload: &String| {
            let scale = Scale::of(workload);
            let bars = summary.servers.iter().filter_map(|(server, title)| {
                let figure = summary.cell(server, workload)?.figure?;
                let is_ours = server.starts_with(OURS);
                Some(Bar { title: title.clone(), is_ours, figure, shown: scale.show(figure) })
            });
            Section { heading: format!("{workload}: {}", scale.words()), bars: bars.collect() }
        };
        Self {
            title: "TokenSocket beside other servers, workload by workload".to_owned(),
            sections: summary.workloads.iter().map(section).collect(),
        }
    }

    /// Draws it into `path`, and says so.
    pub(super) fn save(&self, path: &Path) -> Result<(), CompareError> {
        svg::save(path, &self.draw())
            .map_err(|source| CompareError::File { path: path.to_owned(), source })?;
        eprintln!("drawn in {}", path.display());
        Ok(())
    }

    fn draw(&self) -> Document {
        let mut drawing = Group::new();
        let mut top = MARGIN / 2.0;
        for Section { heading, bars } in self.sections.iter().filter(|section| !section.bars.is_empty()) {
            drawing.append(text(MARGIN, top + HEADING - 12.0, heading).set("class", "heading"));
            top += HEADING;
            let largest = bars.iter().map(|bar| bar.figure).fold(f64::MIN_POSITIVE, f64::max);
            for bar in bars {
                let length = bar.figure.max(0.0) / largest * LONGEST;
                let rectangle = Rectangle::new()
                    .set("class", if bar.is_ours { "bar ours" } else { "bar" })
                    .set("x", BARS)
                    .set("y", top)
                    .set("width", rounded(length.max(1.0)))
                    .set("height", BAR)
                    .set("rx", 2);
                drawing.append(text(BARS - 10.0, top + 11.5, &bar.title).set("text-anchor", "end"));
                drawing.append(rectangle);
                drawing.append(text(rounded(BARS + length + 8.0), top + 11.5, &bar.shown));
                top += ROW;
            }
        }
        let height = top + MARGIN / 2.0;
        let page =
            Rectangle::new().set("class", "page").set("width", WIDTH).set("height", height).set("rx", 6);
        Document::new()
            .set("viewBox", (0.0, 0.0, WIDTH, height))
            .set("width", WIDTH)
            .set("height", height)
            .set("role", "img")
            .add(Title::new(self.title.as_str()))
            .add(Style::new(STYLE))
            .add(page)
            .add(drawing)
    }
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
        let drawn = Plot::of(&Summary::of(&record)).draw().to_string();
        assert!(drawn.contains("width=\"120\"") && drawn.contains("width=\"480\""), "{drawn}");
        assert!(drawn.contains("4,000") && drawn.contains("less is better"), "{drawn}");
        assert!(drawn.contains("&lt;x&gt; &amp; y"), "{drawn}");
    }

    #[test]
    fn nothing_measured_is_a_picture_without_bars() {
        let record =
            Record { facts: Facts::default(), cores: None, measured_seconds: 1.0, measurements: Vec::new() };
        assert!(!Plot::of(&Summary::of(&record)).draw().to_string().contains("class=\"bar"));
    }
}
