//! The sites that are served at this moment.
//!
//! In: sites that come, change and go while the gateway runs. Out: the site of a name, at the cost of a look into a
//! map and without a lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Site;

/// The site that stands at the plain paths, too, whatever others there are.
pub(crate) const DEFAULT: &str = "default";

/// All sites. Cloning gives another handle to the same ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sites(Arc<ArcSwap<BTreeMap<String, Arc<Site>>>>);

impl Sites {
    /// The site of this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Site>> {
        self.0.load().get(name).cloned()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Site>> {
        self.0.load().values().cloned().collect()
    }

    /// The site at the plain paths: the one called `default`, or the only one.
    pub(crate) fn plain(&self) -> Option<Arc<Site>> {
        let sites = self.0.load();
        let only = || sites.values().next().filter(|_| sites.len() == 1);
        sites.get(DEFAULT).or_else(only).cloned()
    }

    /// Puts a site there, in the place of one of the same name.
    pub(crate) fn insert(&self, site: &Arc<Site>) {
        self.0.rcu(|sites| {
            let mut sites = BTreeMap::clone(sites);
            sites.insert(site.name().to_owned(), Arc::clone(site));
            sites
        });
    }

    /// Takes a site away. It is not ended by that.
    pub(crate) fn remove(&self, name: &str) -> Option<Arc<Site>> {
        let before = self.0.rcu(|sites| {
            let mut sites = BTreeMap::clone(sites);
            sites.remove(name);
            sites
        });
        before.get(name).cloned()
    }
}
