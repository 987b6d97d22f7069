//! `top` at short intervals while sockets' addresses are used again and again, against `life`.

use std::collections::BTreeMap;

use crate::support::{FAMILIES, Fixture, Tcc, flooding, is_root, kernel, some_turn, u64_of};

const ROUNDS: usize = 4;
const ROUND: usize = 1_500;
const CONNECTIONS: usize = ROUNDS * ROUND;
const BYTES: u64 = 100;

/// Of each connection: received, sent.
type Sums = BTreeMap<u64, (u64, u64)>;

#[test]
fn each_connection_of_a_churn_has_the_bytes_of_its_life() {
    need!(is_root(), "not root");
    need!(kernel() >= (5, 12), "not every record has a cookie", legitimate: true);
    let _alone = flooding();
    some_turn(|| {
        let mut fixture = Fixture::new();
        fixture.listen();
        let fields = "cookie,bytes_received,bytes_acked";
        let life = Tcc::life().ports(&[fixture.port]).option("--fields", fields);
        let life = life.option("--buffer-size", "64MiB").start();
        let top = Tcc::command("top").ports(&[fixture.port]).option("--interval", "5ms");
        let top = top.option("--buffer-size", "64MiB").start();
        let addr = fixture.addr(FAMILIES[0]);
        for _ in 0..ROUNDS {
            fixture.client.burst(&mut fixture.server, addr, ROUND, BYTES);
        }
        fixture.settle();
        let (life, top) = (life.stop(), top.stop());
        life.check_account();
        top.aggregated();
        if life.end["lost"] != 0 || top.end["aggregate"]["lost"] != 0 {
            return false;
        }
        let lives: Sums = life
            .events
            .iter()
            .map(|event| {
                let bytes = (u64_of(event, "bytes_received"), u64_of(event, "bytes_acked"));
                (u64_of(event, "cookie"), bytes)
            })
            .collect();
        assert_eq!(lives.len(), 2 * CONNECTIONS);
        let mut sums = Sums::new();
        for row in &top.events {
            let (rx, tx) = sums.entry(u64_of(&row["key"], "cookie")).or_default();
            *rx += u64_of(row, "rx_bytes");
            *tx += u64_of(row, "tx_bytes");
        }
        let differ: Vec<_> = lives
            .iter()
            .filter(|(cookie, bytes)| sums.get(cookie) != Some(bytes))
            .map(|(cookie, bytes)| (cookie, bytes, sums.get(cookie)))
            .collect();
        assert!(differ.is_empty(), "{} differ (cookie, life, top): {differ:?}", differ.len());
        assert_eq!(sums.len(), lives.len());
        true
    });
}
