//! The check on small trees that are written down here.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use crate::layers::check::check;
use crate::layers::table::Table;
use crate::layers::tree::{CrateDependency, CrateSource, SourceFile};

const TABLE: &str = r#"
[crates.protocol]
imports = []
apart = [["client", "server"]]
[crates.protocol.layers]
1 = ["client", "server"]
0 = ["message"]

[crates.server]
imports = ["protocol"]
[crates.server.layers]
4 = ["token/endpoint"]
3 = ["session/driver"]
2 = ["node"]
1 = ["hub", "session/outbox"]
0 = ["token"]
"#;

fn source(folder: &str, files: &[(&str, &str)]) -> CrateSource {
    CrateSource {
        folder: folder.to_owned(),
        dependencies: Vec::new(),
        files: files
            .iter()
            .map(|(path, text)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() })
            .collect(),
    }
}

fn findings_of(folder: &str, files: &[(&str, &str)]) -> Vec<String> {
    let table = Table::parse(TABLE).unwrap();
    check(&table, &[source(folder, files)]).iter().map(ToString::to_string).collect()
}

/// What is found when these are the modules `hub` (layer 1) and `node` (layer 2).
fn findings_in_hub(text: &str) -> Vec<String> {
    findings_of(
        "server",
        &[
            ("lib.rs", "mod hub; mod node; pub use node::Node;"),
            ("hub/mod.rs", text),
            ("node.rs", "pub struct Node;"),
        ],
    )
}

#[track_caller]
fn assert_one(findings: &[String], parts: &[&str]) {
    assert_eq!(findings.len(), 1, "{findings:#?}");
    for part in parts {
        assert!(findings[0].contains(part), "{part} is not in {}", findings[0]);
    }
}

#[test]
fn names_line_import_and_both_layers_of_an_upward_import() {
    let findings = findings_in_hub("//! Text.\n\nuse crate::node::Node;\n");
    assert_one(&findings, &["server/src/hub/mod.rs:3:", "crate::node::Node", "layer 1", "layer 2"]);
}

#[test]
fn passes_a_downward_import() {
    let files = [
        ("lib.rs", "mod hub; mod node;"),
        ("hub/mod.rs", "pub struct Hub;"),
        ("node.rs", "use crate::hub::Hub; fn f(_: Hub) {}"),
    ];
    assert_eq!(findings_of("server", &files), Vec::<String>::new());
}

#[test]
fn passes_an_import_in_the_same_layer() {
    let files = [
        ("hub.rs", "use crate::session::outbox::Outbox;"),
        ("session/outbox.rs", "use crate::hub::Hub; pub struct Outbox;"),
    ];
    assert_eq!(findings_of("server", &files), Vec::<String>::new());
}

#[test]
fn finds_an_upward_import_in_a_nested_group() {
    let findings = findings_in_hub("use crate::{\n    hub::Map,\n    node::{self,\n        Node},\n};");
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings[0].contains("hub/mod.rs:3:"), "{findings:#?}");
    assert!(findings[1].contains("hub/mod.rs:4:"), "{findings:#?}");
}

#[test]
fn finds_a_path_in_code_and_in_a_macro_call() {
    assert_one(&findings_in_hub("fn f() { crate::node::start(); }"), &["crate::node::start"]);
    assert_one(
        &findings_in_hub("fn f() { println!(\"{}\", [crate::node::LIMIT]); }"),
        &["crate::node::LIMIT"],
    );
}

#[test]
fn finds_an_upward_import_by_way_of_super() {
    assert_one(&findings_in_hub("use super::node::Node;"), &["super::node::Node"]);
    assert_one(
        &findings_in_hub("mod inner { use super::super::node::Node; }"),
        &["super::super::node::Node"],
    );
}

#[test]
fn follows_a_name_that_the_root_re_exports() {
    assert_one(&findings_in_hub("use crate::Node;"), &["crate::Node", "`node`"]);
}

#[test]
fn refuses_to_import_everything_from_the_root() {
    assert_one(&findings_in_hub("use crate::*;"), &["name what is imported"]);
}

#[test]
fn leaves_tests_alone() {
    let findings = findings_in_hub(
        "#[cfg(test)] mod tests { use crate::node::Node; }
         #[cfg(all(test, unix))] use crate::node::Node as Unix;
         #[test] fn t() { crate::node::start(); }",
    );
    assert_eq!(findings, Vec::<String>::new());
}

#[test]
fn leaves_a_file_of_tests_alone() {
    let files = [
        ("hub/mod.rs", "#[cfg(test)] mod tests;"),
        ("hub/tests.rs", "use crate::node::Node;"),
        ("node.rs", ""),
    ];
    assert_eq!(findings_of("server", &files), Vec::<String>::new());
}

#[test]
fn does_not_take_a_feature_for_a_test() {
    let findings = findings_in_hub("#[cfg(any(test, feature = \"a\"))] use crate::node::Node;");
    assert_one(&findings, &["crate::node::Node"]);
}

#[test]
fn says_where_to_add_an_unknown_module() {
    let findings = findings_of("server", &[("cache.rs", "")]);
    assert_one(&findings, &["`cache`", "[crates.server.layers]", "docs/layers.toml"]);
}

#[test]
fn says_where_to_add_an_unknown_crate() {
    let findings = findings_of("relay", &[]);
    assert_one(&findings, &["[crates.relay]", "docs/layers.toml"]);
}

#[test]
fn takes_the_longest_entry_that_covers_a_module() {
    let findings = findings_of(
        "server",
        &[
            ("token/mod.rs", "mod endpoint; pub use endpoint::serve;"),
            ("token/endpoint.rs", "use crate::node::Node;"),
            ("node.rs", ""),
        ],
    );
    assert_one(&findings, &["token/mod.rs:1:", "`token/endpoint`"]);
}

#[test]
fn counts_an_unlisted_folder_as_its_highest_child_except_for_re_exports() {
    let folder = "mod driver; mod outbox; pub use driver::Driver; pub use outbox::Outbox;
                  pub struct Shared;";
    let with = |hub| {
        findings_of(
            "server",
            &[
                ("session/mod.rs", folder),
                ("session/driver.rs", "pub struct Driver;"),
                ("session/outbox.rs", "pub struct Outbox;"),
                ("hub.rs", hub),
            ],
        )
    };
    assert_eq!(with("use crate::session::Outbox;"), Vec::<String>::new());
    assert_one(&with("use crate::session::Driver;"), &["`session/driver`"]);
    assert_one(&with("use crate::session::Shared;"), &["highest child"]);
}

#[test]
fn keeps_client_and_server_of_the_protocol_apart() {
    let with = |path, text| {
        findings_of("protocol", &[("client.rs", ""), ("server/mod.rs", ""), ("message.rs", ""), (path, text)])
    };
    assert_one(&with("client.rs", "use crate::server::Session;"), &["apart"]);
    assert_one(&with("server/calls.rs", "use crate::client::Calls;"), &["apart"]);
    assert_one(&with("message.rs", "use crate::client::Calls;"), &["layer 0", "layer 1"]);
}

#[test]
fn names_the_line_of_a_dependency_that_may_not_be() {
    let table = Table::parse(TABLE).unwrap();
    let mut protocol = source("protocol", &[]);
    protocol.dependencies.push(CrateDependency { folder: "server".to_owned(), line: 7 });
    let findings: Vec<_> = check(&table, &[protocol]).iter().map(ToString::to_string).collect();
    assert_one(&findings, &["protocol/Cargo.toml:7:", "depends on server"]);
}

#[test]
fn refuses_a_table_that_contradicts_itself() {
    let twice = "[crates.a]\nimports = []\n[crates.a.layers]\n1 = [\"m\"]\n0 = [\"m\"]\n";
    assert!(Table::parse(twice).unwrap_err().to_string().contains("`m` is in layer"));
    let unknown = "[crates.a]\nimports = [\"b\"]\n";
    assert!(Table::parse(unknown).unwrap_err().to_string().contains("[crates.b]"));
}
