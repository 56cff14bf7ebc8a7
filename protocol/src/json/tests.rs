use proptest::prelude::*;
use serde_json::value::RawValue;

use super::scanner::Scanner;
use super::slice::RawSlice;
use super::string::push_escaped;

/// Values with something of everything, which the tests mangle.
pub(crate) const VALUES: [&str; 12] = [
    r#"{"rpc":"a.b","req":{"a":[1,2.5,-3e10,{"b":null}],"c":"d\"e\\f\u00e9\ud83d\ude00"},"uuid":"u1","x\u0041":[]}"#,
    r#"[[],[[]],{},{"":{}},[{}],[1,[2,[3,[4]]]]]"#,
    r#"  { "spaced" : [ true , false , null ] , "more"	:
 "lines" }  "#,
    r#""only a text with \b\f\n\r\t\/\\\" and \ud800 alone""#,
    "-0.0e+00",
    "[0,-0,01,1e,1.,.1,-,1e-1,1E5,+1]",
    "[1e400,123456789012345678901234567890,0.0000000000000000000001]",
    "nul",
    "\"\u{e9}\u{1f600}\u{7f}\u{80}\u{2028}\"",
    "{\"control\":\"\u{1f}\"}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    "{\"a\":1,\"a\":2,}",
];

/// The bytes of JSON, so that what is made of them comes close to it.
pub(crate) const ALPHABET: &[char] = &[
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '"',
    '"',
    '"',
    '\\',
    'u',
    'd',
    '8',
    '0',
    '1',
    'e',
    '.',
    '-',
    '+',
    ' ',
    '\n',
    'n',
    't',
    'a',
    'x',
    '\u{0}',
    '\u{1f}',
    '\u{7f}',
    '\u{e9}',
    '\u{1f600}',
];

fn scanned(text: &str) -> Option<&str> {
    let mut scanner = Scanner::new(text);
    let value = scanner.value().ok()?;
    scanner.is_at_end().then_some(value.as_str())
}

fn same_as_serde_json(text: &str) {
    let expected: Option<&RawValue> = serde_json::from_str(text).ok();
    assert_eq!(scanned(text), expected.map(RawValue::get), "{text:?}");
}

/// How deep well-formed JSON nests.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string) = (0_usize, 0, false);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
    }
    deepest
}

/// Changes some characters of a text, and cuts it.
pub(crate) fn mangled() -> impl Strategy<Value = String> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(ALPHABET)), 0..4);
    (prop::sample::select(&VALUES[..]), changes, prop::option::weighted(0.2, any::<prop::sample::Index>()))
        .prop_map(|(text, changes, cut)| {
            let mut text: Vec<char> = text.chars().collect();
            for (at, character) in changes {
                let at = at.index(text.len());
                text[at] = character;
            }
            let end = cut.map_or(text.len(), |cut| cut.index(text.len()));
            text[..end].iter().collect()
        })
}

/// Texts of JSON's own characters.
pub(crate) fn near_json() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(ALPHABET), 0..24).prop_map(|text| text.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn takes_of_any_text_what_serde_json_takes(text in any::<String>()) {
        same_as_serde_json(&text);
    }

    #[test]
    fn takes_of_near_json_what_serde_json_takes(text in near_json()) {
        same_as_serde_json(&text);
        same_as_serde_json(&format!("\"{text}\""));
        same_as_serde_json(&format!("[{text}]"));
        same_as_serde_json(&format!("{{\"a\":{text}}}"));
    }

    #[test]
    fn takes_of_mangled_json_what_serde_json_takes(text in mangled()) {
        same_as_serde_json(&text);
    }

    #[test]
    fn takes_any_nesting_and_tells_how_deep(brackets in prop::collection::vec(any::<bool>(), 0..300), wrong in any::<prop::sample::Index>()) {
        let mut text = String::new();
        for is_object in &brackets {
            text.push_str(if *is_object { "{\"a\":" } else { "[1," });
        }
        text.push('0');
        for is_object in brackets.iter().rev() {
            text.push(if *is_object { '}' } else { ']' });
        }
        same_as_serde_json(&text);
        let mut scanner = Scanner::new(&text);
        prop_assert!(scanner.value().is_ok());
        prop_assert_eq!(scanner.deepest(), depth(&text));
        // One bracket of another kind.
        let wrong = wrong.index(text.len());
        text.replace_range(wrong..=wrong, if &text[wrong..=wrong] == "]" { "}" } else { "]" });
        same_as_serde_json(&text);
    }

    #[test]
    fn escapes_as_serde_json_does(text in any::<String>(), near in near_json(), unsafe_ in unsafe_text()) {
        for text in [text, near.repeat(3), unsafe_] {
            prop_assert_eq!(escaped(&text), expected(&text));
        }
    }
}

/// The inside of a JSON string.
fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    push_escaped(&mut out, text.as_bytes());
    String::from_utf8(out).unwrap_or_default()
}

/// What `serde_json` writes, with the escapes that only SockJS wants.
fn expected(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let escape = |character: char| match character {
        '\u{200c}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fff0}'..='\u{ffff}' => format!("\\u{:04x}", u32::from(character)),
        other => other.to_string(),
    };
    json[1..json.len() - 1].chars().map(escape).collect()
}

/// Texts of characters that are unsafe, or stand beside one that is, among others.
fn unsafe_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        proptest::char::range('\u{2000}', '\u{2080}'),
        proptest::char::range('\u{ffe0}', '\u{1000f}'),
        proptest::sample::select(vec!['a', 'b', '"', '\\', '\n', '\u{1}', 'é', '\u{1f600}', '、', '￠']),
    ];
    proptest::collection::vec(character, 0..60).prop_map(String::from_iter)
}

#[test]
fn escapes_every_unsafe_character_wherever_it_stands() {
    for character in ('\u{2000}'..'\u{2080}').chain('\u{ffe0}'..'\u{10010}') {
        for before in 0..18 {
            let text =
                format!("{}{character}\"{character}{character}yyyyyyyyyyyyyyyyyyy", "x".repeat(before));
            assert_eq!(escaped(&text), expected(&text));
            let text = format!("\u{1}{text}");
            assert_eq!(escaped(&text), expected(&text));
        }
    }
}

#[test]
fn takes_the_examples_as_serde_json_does() {
    for text in VALUES {
        same_as_serde_json(text);
        for (at, _) in text.char_indices() {
            same_as_serde_json(&text[at..]);
            same_as_serde_json(&text[..at]);
        }
    }
}

#[test]
fn escapes_every_control_character_wherever_it_stands() {
    for byte in 0..0x80_u8 {
        for before in 0..9 {
            let mut text = "x".repeat(before);
            text.push(char::from(byte));
            text.push_str("\u{1}yyyyyyyyy");
            assert_eq!(escaped(&text), expected(&text));
        }
    }
}

#[test]
fn escapes_a_long_text_of_control_characters_in_one_pass() {
    assert_eq!(escaped(&"\u{1}\n\"é".repeat(100_000)), r#"\u0001\n\"é"#.repeat(100_000));
}

#[test]
fn a_slice_reads_as_a_type() {
    let slice: Result<RawSlice<'_>, _> = serde_json::from_str(" [1, 2] ");
    let slice = slice.unwrap_or(RawSlice::NULL);
    assert_eq!(slice.as_str(), "[1, 2]");
    assert_eq!(slice.parse::<Vec<u8>>().ok(), Some(vec![1, 2]));
}
