//! What one source file refers to inside its own crate.
//!
//! Comes in: a file's text. Goes out: the paths it uses (from `use` trees, code
//! and macro calls), the modules it declares and the names it re-exports. It
//! must not know what the paths lead to, nor anything of layers.
//!
//! Left out: code under `#[cfg(test)]`, and visibilities such as `pub(in crate::a)`.

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Meta, Token, TraitItem, UseTree};

/// What was found in one file.
#[derive(Debug, Default)]
pub(super) struct Imports {
    /// Every path used outside tests.
    pub(super) paths: Vec<UsedPath>,
    /// Modules declared in it, as full module paths.
    pub(super) modules: Vec<Vec<String>>,
    /// Modules declared in it that exist for tests only.
    pub(super) test_modules: Vec<Vec<String>>,
    /// Names that a `use` brings in, so that others can import them from here.
    pub(super) exports: Vec<Export>,
}

/// A path as it was written.
#[derive(Debug, Clone)]
pub(super) struct UsedPath {
    /// The module it was written in (an inline one has its own).
    pub(super) module: Vec<String>,
    /// Its parts; `*` stands for a glob.
    pub(super) parts: Vec<String>,
    /// Where it was written.
    pub(super) line: usize,
}

/// A name that a `use` makes available in a module.
#[derive(Debug)]
pub(super) struct Export {
    /// The module's path and the name.
    pub(super) name: Vec<String>,
    /// What it stands for, as it was written there.
    pub(super) target: UsedPath,
}

/// Reads one file that is the given module.
pub(super) fn read(module: &[String], text: &str) -> Result<Imports> {
    let file = syn::parse_file(text).context("this is not valid Rust")?;
    let mut reader = Reader { module: module.to_vec(), found: Imports::default() };
    if is_for_tests(&file.attrs) {
        reader.found.test_modules.push(module.to_vec());
    } else {
        reader.visit_file(&file);
    }
    Ok(reader.found)
}

struct Reader {
    module: Vec<String>,
    found: Imports,
}

impl Reader {
    fn found_path(&mut self, parts: Vec<String>, span: Span) -> UsedPath {
        let path = UsedPath { module: self.module.clone(), parts, line: span.start().line };
        self.found.paths.push(path.clone());
        path
    }

    fn use_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[plain(name)]].concat();
        match tree {
            UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned().unwrap_or_default();
                self.used(before.to_vec(), name.ident.span(), &last);
            }
            UseTree::Name(name) => self.used(with(&name.ident), name.ident.span(), &plain(&name.ident)),
            UseTree::Rename(rename) if rename.ident == "self" => {
                self.used(before.to_vec(), rename.ident.span(), &plain(&rename.rename));
            }
            UseTree::Rename(rename) => {
                self.used(with(&rename.ident), rename.ident.span(), &plain(&rename.rename));
            }
            UseTree::Glob(glob) => {
                let parts = [before, &["*".to_owned()]].concat();
                self.found_path(parts, glob.star_token.spans[0]);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(before, tree);
                }
            }
        }
    }

    fn used(&mut self, parts: Vec<String>, span: Span, name: &str) {
        let target = self.found_path(parts, span);
        self.found
            .exports
            .push(Export { name: [self.module.as_slice(), &[name.to_owned()]].concat(), target });
    }

    /// Macro calls are not parsed as Rust, so paths are picked out of their tokens:
    /// names joined by `::` that begin with `crate`, `self` or `super`.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut parts: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match &token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(name) if colons == 2 && !parts.is_empty() => {
                    parts.push(plain(name));
                }
                TokenTree::Ident(name) => {
                    self.end_of_tokens(&mut parts, start);
                    if colons != 2 && (name == "crate" || name == "self" || name == "super") {
                        parts.push(plain(name));
                        start = name.span();
                    }
                }
                TokenTree::Group(group) => {
                    self.end_of_tokens(&mut parts, start);
                    if group.delimiter() == Delimiter::None || !group.stream().is_empty() {
                        self.tokens(group.stream());
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.end_of_tokens(&mut parts, start),
            }
            colons = 0;
        }
        self.end_of_tokens(&mut parts, start);
    }

    fn end_of_tokens(&mut self, parts: &mut Vec<String>, start: Span) {
        let parts = std::mem::take(parts);
        if parts.len() > 1 {
            self.found_path(parts, start);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if let Item::Mod(module) = item {
            let path = [self.module.as_slice(), &[plain(&module.ident)]].concat();
            if is_for_tests(&module.attrs) {
                self.found.test_modules.push(path);
                return;
            }
            self.found.modules.push(path.clone());
            let outer = std::mem::replace(&mut self.module, path);
            visit::visit_item_mod(self, module);
            self.module = outer;
        } else if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes = match item {
            TraitItem::Const(item) => &item.attrs,
            TraitItem::Fn(item) => &item.attrs,
            TraitItem::Type(item) => &item.attrs,
            TraitItem::Macro(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_for_tests(attributes) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.use_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none()
            && path.segments.len() > 1
            && let Some(first) = path.segments.first()
        {
            let parts = path.segments.iter().map(|part| plain(&part.ident)).collect();
            self.found_path(parts, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

/// An identifier without the `r#` of a raw one.
fn plain(name: &proc_macro2::Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}

/// Whether one of the attributes leaves the item out of every build but the tests'.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<Meta>().is_ok_and(|condition| needs_test(&condition)))
    })
}

fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(needs_test)),
        _ => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
