//! What is seen, as lines for other programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::screen::{cell, name};
use super::watch::{Column, Row, Watch};
use crate::command_line::moment::Moment;

/// Prints one line for each site.
pub(super) fn print(watch: &Watch, as_json: bool) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let at = watch.latest().at;
    let columns: Vec<Column> = watch.columns().into_iter().filter(|column| *column != Column::Site).collect();
    for row in watch.rows() {
        if as_json {
            writeln!(out, "{}", as_value(at, &row))?;
        } else {
            write!(out, "{}\t{}", Moment(at), row.site.name)?;
            for column in &columns {
                write!(out, "\t{} {}", name(*column), cell(*column, &row))?;
            }
            writeln!(out)?;
        }
    }
    out.flush()
}

fn as_value(at: u64, Row { site, rates }: &Row<'_>) -> Value {
    let mut value = json!(site);
    value["at"] = json!(at);
    value["per_second"] = json!(rates);
    value
}
