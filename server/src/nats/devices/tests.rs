//! An image is exact: the machine that is made of it answers everything alike from then on.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::command::Whom;
use super::*;
use crate::nats::replica::Machine;

fn command(random: &mut StdRng, now: u64) -> Command {
    let now = Timestamp(now);
    let user: Arc<str> = random.random_range(0..3).to_string().into();
    let id: Arc<str> = ["a", "b", "c"][random.random_range(0..3)].into();
    let rooms =
        (0..random.random_range(0..3)).map(|_| ["x", "y"][random.random_range(0..2)].into()).collect();
    let seed = random.random();
    match random.random_range(0..16) {
        0..=2 => Command::Arrive { user, id, rooms, ttl: random.random_range(0..30_000), now, seed },
        3 | 4 => Command::Depart { user, id, now },
        5..=9 => Command::Append {
            to: [Whom::Everyone, Whom::Rooms(vec!["x".into()]), Whom::Users(vec![user])]
                [random.random_range(0..3)]
            .clone(),
            event: ["e", "f"][random.random_range(0..2)].into(),
            args: tokensocket_protocol::RawJson::new(&"x".repeat(random.random_range(0..20))).unwrap(),
            resync: random.random(),
            key: random.random_bool(0.3).then(|| ["k", "l", "m", "n"][random.random_range(0..4)].into()),
            now,
        },
        10..=12 => {
            Command::Acknowledge { user, id, seq: random.random_range(0..30), through: random.random() }
        }
        13 => Command::Told { user, id, numbers: (0..random.random_range(0..5)).collect() },
        14 => Command::Expire { now },
        _ => {
            let (times, last) = (random.random_range(0..3), random.random_range(0..20));
            Command::Assert { user, id, rooms, ttl: random.random_range(0..30_000), times, last, now, seed }
        }
    }
}

fn plain(mut output: Output) -> String {
    // What passes its time at one moment does so in the order in which it was last looked at.
    if let Output::Expired(expired) = &mut output {
        expired.resyncs.sort_by_key(|(device, resync)| (device.clone(), resync.number));
    }
    format!("{output:?}")
}

#[test]
fn what_is_made_of_an_image_answers_alike() {
    let limits = QueueLimits {
        count: 4,
        bytes: 60,
        age: std::time::Duration::from_secs(20),
        key_window: std::time::Duration::from_secs(10),
        keys: 3,
        devices: 6,
        devices_per_user: 2,
    };
    for seed in 0..40 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut one = Devices::empty();
        let opening = one.opening(&limits, 2500).unwrap();
        one.apply(1, opening, 1, &mut Vec::new());
        let mut other = Devices::from_image(one.image());
        let mut now = 1_700_000_000_000;
        for step in 0..300 {
            // Clocks of nodes differ.
            now += random.random_range(0..1_500);
            let (by, at) = (random.random_range(1..4), now - random.random_range(0..700));
            let context = format!("seed {seed} step {step}");
            match random.random_range(0..40) {
                0 => {
                    one.end(by, Timestamp(at));
                    other.end(by, Timestamp(at));
                }
                1 => {
                    one.succeed(by, 4 - by);
                    other.succeed(by, 4 - by);
                }
                2 => {
                    one.lost(seed, by, &mut Vec::new());
                    other.lost(seed, by, &mut Vec::new());
                }
                3..=6 => {
                    let text = serde_json::to_vec(&other.image()).unwrap();
                    other = Devices::from_image(serde_json::from_slice(&text).unwrap());
                }
                _ => {
                    let command = command(&mut random, at);
                    let (mut hints, mut others) = (Vec::new(), Vec::new());
                    let ours = plain(one.apply(by, command.clone(), 1, &mut hints));
                    assert_eq!(
                        ours,
                        plain(other.apply(by, command.clone(), 1, &mut others)),
                        "{context} {command:?}"
                    );
                    assert_eq!(hints.len(), others.len(), "{context}");
                }
            }
            let texts = [one.image(), other.image()].map(|image| serde_json::to_string(&image).unwrap());
            assert_eq!(texts[0], texts[1], "{context}");
        }
    }
}
