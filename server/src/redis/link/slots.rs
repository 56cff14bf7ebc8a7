//! Which part of the keys a key belongs to.
//!
//! In: keys, of whose names the part in braces counts, as in a Redis Cluster. Out: slots, and which server of several
//! has a slot.

/// How many slots there are, in a Redis Cluster and here.
pub(super) const SLOTS: usize = 16_384;

/// A key's slot: CRC-16 (XMODEM) of what stands in its first braces, or of all of it.
pub(super) fn slot(key: &str) -> usize {
    usize::from(crc16(tag(key).as_bytes())) % SLOTS
}

/// What counts of a key's name.
fn tag(key: &str) -> &str {
    let inside = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(inside, _)| inside);
    inside.filter(|inside| !inside.is_empty()).unwrap_or(key)
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

/// Which of several servers has a slot, where they know nothing of one another: the one whose name and the slot mix
/// into the highest number. So another server takes over its share of slots and moves no others.
pub(super) fn owner<S: AsRef<str>>(slot: usize, servers: &[S]) -> usize {
    let weight = |server: &S| {
        let bytes = server.as_ref().bytes().chain(slot.to_be_bytes());
        // FNV-1a, and a finish by which every bit counts.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ hash >> 33
    };
    (0..servers.len()).max_by_key(|at| weight(&servers[*at])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_cluster_s_own_slot() {
        // What `CLUSTER KEYSLOT` says.
        for (key, expected) in
            [("123456789", 12_739), ("foo", 12_182), ("a{foo}b", 12_182), ("{foo}{bar}", 12_182)]
        {
            assert_eq!(slot(key), expected, "{key}");
        }
        assert_eq!(
            slot("foo{}{bar}"),
            usize::from(crc16(b"foo{}{bar}")) % SLOTS,
            "empty braces count for nothing"
        );
        assert_eq!(slot("foo{{bar}}zap"), usize::from(crc16(b"{bar")) % SLOTS);
    }

    #[test]
    fn servers_have_even_shares_and_keep_them() {
        let three = ["10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"];
        let four = ["10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379", "10.0.0.4:6379"];
        let mut shares = [0; 3];
        for slot in 0..SLOTS {
            let before = owner(slot, &three);
            shares[before] += 1;
            let after = owner(slot, &four);
            assert!(after == before || after == 3, "slot {slot} moved between servers that stayed");
        }
        assert!(shares.iter().all(|share| (SLOTS / 4..SLOTS / 2).contains(share)), "{shares:?}");
    }
}
