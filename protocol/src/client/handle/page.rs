//! What a channel kept, and what became of a publication, as a client sees it.

use serde::Deserialize;

use crate::position::Position;
use crate::raw_json::RawJson;

/// A part of a channel's history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HistoryPage {
    /// Where the channel stood when this was read: behind its last publication.
    #[serde(flatten)]
    pub position: Position,
    /// In order, or in reverse order.
    #[serde(default)]
    pub publications: Vec<Kept>,
    /// Something is missing between the place from which it was to be read and the first that is kept.
    #[serde(default)]
    pub gap: bool,
    /// There is more than the limit let through: go on from the last one's place.
    #[serde(default)]
    pub more: bool,
}

/// A publication that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Kept {
    /// Its place within the page's epoch.
    pub offset: u64,
    /// What was published.
    #[serde(default)]
    pub message: RawJson,
    /// When, in milliseconds since 1970.
    #[serde(default)]
    pub at: u64,
}

/// What became of a publication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Its place, on a channel with history.
    pub position: Option<Position>,
    /// A publication of this key had been accepted before; nothing was published now.
    pub duplicate: bool,
}

impl Published {
    /// Reads the server's answer. The text `"success"` says nothing more.
    pub fn read(answer: &RawJson) -> Self {
        #[derive(Deserialize)]
        struct Duplicate {
            #[serde(default)]
            duplicate: bool,
        }

        let duplicate = answer.parse().is_ok_and(|Duplicate { duplicate }| duplicate);
        Self { position: answer.parse().ok(), duplicate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &'static str) -> RawJson {
        RawJson::from_text(text).unwrap_or_default()
    }

    #[test]
    fn reads_every_answer_to_a_publication() {
        let read = |text| {
            let Published { position, duplicate } = Published::read(&raw(text));
            (position.map(|position| position.to_string()), duplicate)
        };
        assert_eq!(read("\"success\""), (None, false));
        assert_eq!(read(r#"{"epoch":"e","offset":3}"#), (Some("e:3".to_owned()), false));
        assert_eq!(read(r#"{"epoch":"e","offset":3,"duplicate":true}"#), (Some("e:3".to_owned()), true));
        assert_eq!(read(r#"{"duplicate":true}"#), (None, true));
    }

    #[test]
    fn reads_a_page() {
        let page = raw(
            r#"{"epoch":"e","offset":3,"publications":[{"offset":2,"message":{"x":[1]},"at":9}],"more":true}"#,
        );
        let page: Result<HistoryPage, _> = page.parse();
        let kept = Kept { offset: 2, message: raw(r#"{"x":[1]}"#), at: 9 };
        assert!(page.is_ok_and(|page| {
            page.position.offset == 3 && page.publications == [kept] && page.more && !page.gap
        }));
    }
}
