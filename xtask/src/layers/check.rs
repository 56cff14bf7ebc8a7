//! The check itself: manifests and imports against the table.
//!
//! Comes in: the table and the crates' text. Goes out: findings. It reads no
//! file and prints nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::layers::TABLE;
use crate::layers::imports::{self, Imports, UsedPath};
use crate::layers::table::{CrateRule, Place, Table};
use crate::layers::tree::{CrateSource, SourceFile};

/// How many re-exports of re-exports are followed.
const EXPORT_DEPTH: usize = 8;

/// One thing that breaks the table.
#[derive(Debug)]
pub(super) struct Finding {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Everything that breaks the table, in the order of crates, files and lines.
pub(super) fn check(table: &Table, crates: &[CrateSource]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in crates {
        let folder = &source.folder;
        let Some(rule) = table.crates.get(folder) else {
            findings.push(Finding {
                file: format!("{folder}/Cargo.toml"),
                line: 1,
                what: format!("this crate is in no layer: add a [crates.{folder}] to {TABLE}"),
            });
            continue;
        };
        check_manifest(rule, source, &mut findings);
        if rule.has_layers() {
            check_modules(rule, source, &mut findings);
        }
    }
    findings
}

fn check_manifest(rule: &CrateRule, source: &CrateSource, findings: &mut Vec<Finding>) {
    for dependency in &source.dependencies {
        if !rule.may_depend_on(&dependency.folder) {
            findings.push(Finding {
                file: format!("{}/Cargo.toml", source.folder),
                line: dependency.line,
                what: format!(
                    "{} depends on {}, and may depend on {} only ([crates.{}] of {TABLE})",
                    source.folder,
                    dependency.folder,
                    rule.imports(),
                    source.folder
                ),
            });
        }
    }
}

fn check_modules(rule: &CrateRule, source: &CrateSource, findings: &mut Vec<Finding>) {
    let mut read = Vec::new();
    for file in &source.files {
        match imports::read(&file.module(), &file.text) {
            Ok(imports) => read.push((file, imports)),
            Err(error) => findings.push(Finding {
                file: format!("{}/src/{}", source.folder, file.path),
                line: 1,
                what: format!("{error:#}"),
            }),
        }
    }
    let names = Names::new(&read);
    for (file, imports) in &read {
        let module = file.module();
        if module.is_empty() || names.is_for_tests(&module) {
            continue;
        }
        let file = format!("{}/src/{}", source.folder, file.path);
        let Some(place) = rule.place(&module) else {
            findings.push(Finding {
                what: format!(
                    "the module `{}` is in no layer: add it to [crates.{}.layers] of {TABLE}",
                    module.join("/"),
                    source.folder
                ),
                file,
                line: 1,
            });
            continue;
        };
        let mut said = BTreeSet::new();
        for path in &imports.paths {
            let what = judge(rule, &names, &module, &place, path);
            if let Some(what) = what
                && said.insert((path.line, what.clone()))
            {
                findings.push(Finding { file: file.clone(), line: path.line, what });
            }
        }
    }
}

/// What is wrong with one path used in a module, if anything is.
fn judge(
    rule: &CrateRule,
    names: &Names,
    module: &[String],
    place: &Place,
    path: &UsedPath,
) -> Option<String> {
    let target = match names.resolve(path)? {
        Target::Module(target) => target,
        Target::RootGlob => {
            return Some("imports everything from the crate's root: name what is imported".into());
        }
    };
    let written = path.parts.join("::");
    if rule.apart(module, &target) {
        return Some(format!("`{}` imports `{written}`, and {TABLE} keeps the two apart", module.join("/")));
    }
    // A folder that only holds its children together re-exports them.
    if place.facade && target.starts_with(module) {
        return None;
    }
    let Some(other) = rule.place(&target) else {
        return Some(format!(
            "imports `{written}` from `{}`, which is in no layer of {TABLE}",
            target.join("/")
        ));
    };
    (other.layer > place.layer).then(|| {
        let hint =
            if other.facade { "; it is not listed itself and counts as its highest child" } else { "" };
        format!(
            "`{}` (layer {} as `{}`) imports `{written}` (layer {} as `{}`{hint}); \
             imports run downward only, see {TABLE}",
            module.join("/"),
            place.layer,
            place.entry,
            other.layer,
            other.entry
        )
    })
}

/// What a path leads to.
enum Target {
    Module(Vec<String>),
    RootGlob,
}

/// The crate's modules and the names they re-export.
struct Names {
    modules: BTreeSet<Vec<String>>,
    test_modules: Vec<Vec<String>>,
    exports: BTreeMap<Vec<String>, UsedPath>,
}

impl Names {
    fn new(read: &[(&SourceFile, Imports)]) -> Self {
        let mut names = Self { modules: BTreeSet::new(), test_modules: Vec::new(), exports: BTreeMap::new() };
        for (file, imports) in read {
            names.modules.insert(file.module());
            names.modules.extend(imports.modules.iter().cloned());
            names.test_modules.extend(imports.test_modules.iter().cloned());
            for export in &imports.exports {
                names.exports.insert(export.name.clone(), export.target.clone());
            }
        }
        names
    }

    fn is_for_tests(&self, module: &[String]) -> bool {
        self.test_modules.iter().any(|tests| module.starts_with(tests))
    }

    /// The module that a path leads into; `None` when it leaves the crate or
    /// names something of the root itself, such as a macro.
    fn resolve(&self, path: &UsedPath) -> Option<Target> {
        let mut absolute = self.absolute(path)?;
        if absolute == ["*"] {
            return Some(Target::RootGlob);
        }
        for _ in 0..EXPORT_DEPTH {
            let Some(next) = self.through_export(&absolute) else {
                break;
            };
            absolute = next;
        }
        let module = (1..=absolute.len())
            .rev()
            .map(|length| &absolute[..length])
            .find(|module| self.modules.contains(*module))?;
        Some(Target::Module(module.to_vec()))
    }

    /// The path from the crate's root.
    fn absolute(&self, path: &UsedPath) -> Option<Vec<String>> {
        let mut base = path.module.clone();
        let mut parts = path.parts.as_slice();
        match parts.first()?.as_str() {
            "crate" => {
                base.clear();
                parts = &parts[1..];
            }
            "self" => parts = &parts[1..],
            "super" => {}
            child => {
                // A child module may be named without `self::`; else it is another crate's name.
                let inside = [base.as_slice(), &[child.to_owned()]].concat();
                if !self.modules.contains(&inside) {
                    return None;
                }
            }
        }
        while parts.first().is_some_and(|part| part == "super") {
            base.pop()?;
            parts = &parts[1..];
        }
        base.extend_from_slice(parts);
        Some(base)
    }

    /// The same path with its first re-exported part replaced by what it stands for.
    fn through_export(&self, absolute: &[String]) -> Option<Vec<String>> {
        (1..=absolute.len()).filter(|length| !self.modules.contains(&absolute[..*length])).find_map(
            |length| {
                let target = self.absolute(self.exports.get(&absolute[..length])?)?;
                let next = [target.as_slice(), &absolute[length..]].concat();
                (next != absolute).then_some(next)
            },
        )
    }
}
