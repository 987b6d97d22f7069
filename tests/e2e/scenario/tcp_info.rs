//! What `TCP_INFO` told of a client's socket after each response is what the next sample has.

use super::{ALGORITHMS, RING, pingpong_with_tcp_info, scenario};
use crate::support::{Seen, is_root};
use crate::tcp_info::Case;

/// Each algorithm's act of the scenario.
fn check(reader: &str) {
    need!(is_root(), "not root");
    for cc in ALGORITHMS {
        let Some(act) = scenario().act(&format!("pingpong {cc}")) else { continue };
        let trace = scenario().by(reader, RING).samples(None, Some(act.ports[0]));
        let case = Case { pingpong: pingpong_with_tcp_info(cc), loss: 0 };
        let port = act.ports[0];
        let of_port = |seen: &&Seen| [seen.local.port(), seen.peer.port()].contains(&port);
        let hidden = scenario().seen.iter().filter(of_port).filter(|seen| seen.maybe_unseen);
        case.compare_all(&act.lines, &trace, port, hidden.count() as u64);
    }
}

by_sock_and_raw! {
    check: sock_equals_tcp_info raw_equals_tcp_info;
}
