//! A seed is a world, always the same; and a world that breaks a promise is noticed.

use tokensocket_simulation::{Options, Sabotage, simulate};

#[test]
fn the_same_happens_in_every_run_of_a_seed() {
    for seed in 0..20 {
        let (first, second) = (simulate(seed, &Options::default()), simulate(seed, &Options::default()));
        assert_eq!((first.hash, first.facts), (second.hash, second.facts), "seed {seed}");
        assert_eq!(first.violations, Vec::<String>::new(), "seed {seed}");
    }
    let hashes = [1, 2, 3].map(|seed| simulate(seed, &Options::default()).hash);
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
}

/// Some of the first seeds must notice.
fn is_noticed(sabotage: Sabotage) -> bool {
    let options = Options { sabotage: Some(sabotage), ..Options::default() };
    (0..300).any(|seed| !simulate(seed, &options).violations.is_empty())
}

#[test]
fn a_disk_that_forgets_what_it_synced_is_noticed() {
    assert!(is_noticed(Sabotage::ForgetSynced));
}

#[test]
fn a_disk_that_only_says_that_it_synced_is_noticed() {
    assert!(is_noticed(Sabotage::SyncEarly));
}
