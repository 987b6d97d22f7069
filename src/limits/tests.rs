//! The accounts of a small recording.

use super::connection::Segment;
use super::rules::LimitCause;
use super::twin::{Twin, TwinOptions};
use crate::skel::{
    CongStateRecord, Event, EventType, Head, LifeRecord, LimitsSnapshot, ProbeFullRecord,
    RetransmitRecord, SendRecord, StateRecord, bytes,
};

const MS: u64 = 1_000_000;
const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSE: u8 = 7;

fn head(ms: u64, event_type: EventType) -> Head {
    Head { mono_ns: ms * MS, cookie: 7, event_type: event_type.0 as u8, ..Head::default() }
}

/// An event with nothing unsent and so many packets in flight.
fn event(ms: u64, event_type: EventType, packets_out: u32) -> Event {
    let mut event = Event { head: head(ms, event_type), ..Event::default() };
    (event.tcp.present, event.tcp.state, event.tcp.packets_out) = (1, ESTABLISHED, packets_out);
    event
}

fn state(ms: u64, old_state: u8, new_state: u8) -> Vec<u8> {
    let event = event(ms, EventType::TCC_EVENT_STATE, 0);
    bytes(&StateRecord { event, old_state, new_state, ..StateRecord::default() }).to_vec()
}

fn send(ms: u64) -> Vec<u8> {
    let event = event(ms, EventType::TCC_EVENT_SEND, 0);
    bytes(&SendRecord { event, ..SendRecord::default() }).to_vec()
}

fn sample(ms: u64) -> Vec<u8> {
    let mut sample =
        ProbeFullRecord { head: head(ms, EventType::TCC_EVENT_PROBE), ..Default::default() };
    (sample.cong.state, sample.flight.packets_out, sample.mss.mss) = (ESTABLISHED, 2, 1448);
    sample.std.snd_wnd = 65_535;
    bytes(&sample).to_vec()
}

/// It opens, waits, writes, and closes after the acknowledgement.
fn recording() -> Vec<Vec<u8>> {
    vec![
        state(10, CLOSE, SYN_SENT),
        state(30, SYN_SENT, ESTABLISHED),
        send(130),
        sample(150),
        state(180, ESTABLISHED, FIN_WAIT1),
        state(200, FIN_WAIT1, FIN_WAIT2),
        state(260, FIN_WAIT2, CLOSE),
    ]
}

fn of(ns: &[u64], cause: LimitCause) -> u64 {
    ns[cause as usize] / MS
}

#[test]
fn time_is_divided_into_segments() {
    let mut twin = Twin::new(TwinOptions { segments: true, ..TwinOptions::default() });
    assert!(recording().iter().all(|record| twin.record(record)));
    let all: Vec<_> = twin.connections().collect();
    assert_eq!(all.len(), 1);
    let segment = |from: u64, to: u64, cause| Segment { from_ns: from * MS, to_ns: to * MS, cause };
    let wanted = [
        segment(10, 30, LimitCause::Handshake),
        segment(30, 130, LimitCause::Idle),
        segment(130, 150, LimitCause::Application),
        segment(150, 200, LimitCause::Idle),
    ];
    assert_eq!(all[0].segments, wanted);
    let totals = all[0].totals();
    assert_eq!((of(&totals, LimitCause::Handshake), of(&totals, LimitCause::Idle)), (20, 150));
    assert_eq!(totals.iter().sum::<u64>(), 190 * MS, "FIN_WAIT2 is the end");
    assert!(all[0].is_over() && all[0].lacked.is_empty());
}

/// The end of an interval divides the time between two events, whatever ends that.
#[test]
fn a_cut_has_the_cause_that_its_end_shows() {
    let mut twin = Twin::new(TwinOptions::default());
    let records = recording();
    records[..3].iter().for_each(|record| assert!(twin.record(record)));
    assert_eq!(twin.cut(0, 140 * MS), 1);
    assert!(twin.take_resolved().is_empty());
    assert!(twin.record(&records[3]));
    let cuts: Vec<LimitsSnapshot> = twin.take_resolved().iter().map(|cut| cut.snapshot()).collect();
    assert_eq!(cuts.len(), 1);
    let limits = &cuts[0].limits;
    assert_eq!((limits.t0_ns, limits.begin_ns), (140 * MS, 10 * MS));
    assert_eq!(of(&limits.ns, LimitCause::Application), 10);
    // It was not ended yet when the recording did.
    assert_eq!(twin.cut(1, 170 * MS), 1);
    twin.finish(170 * MS);
    let cuts = twin.take_resolved();
    assert_eq!((cuts.len(), cuts[0].number), (1, 1));
    assert_eq!(of(&cuts[0].snapshot().limits.ns, LimitCause::Undecided), 20);
}

#[test]
fn an_end_is_taken_once() {
    let mut twin = Twin::new(TwinOptions::default());
    recording().iter().for_each(|record| assert!(twin.record(record)));
    let ended = twin.take_ended();
    assert_eq!((ended.len(), ended[0].closed, ended[0].event.head.cookie), (1, 1, 7));
    assert!(twin.take_ended().is_empty());
    assert_eq!(twin.cut(0, 300 * MS), 0);
}

/// The record of `life` as the programs without `limits` make it.
fn life(ms: u64) -> Vec<u8> {
    let event = event(ms, EventType::TCC_EVENT_LIFE, 0);
    bytes(&LifeRecord { event, reason: 1, ..LifeRecord::default() }).to_vec()
}

#[test]
fn a_record_of_life_is_completed() {
    let lives = || Twin::new(TwinOptions { lives: true, ..TwinOptions::default() });
    let mut twin = lives();
    recording().iter().for_each(|record| assert!(twin.record(record)));
    let completed = twin.life(&life(260)).expect("a connection that is known");
    assert_eq!(completed.limits_main, LimitCause::Idle as u8 + 1);
    assert_eq!((completed.limits_main_ns, completed.limits_observed_ns), (150 * MS, 190 * MS));
    assert!(twin.life(&life(260)).is_none(), "once");
    assert_eq!(twin.connections().count(), 0, "nothing is kept");

    // Without the changes of state it is over with the record.
    let mut twin = lives();
    recording()[2..4].iter().for_each(|record| assert!(twin.record(record)));
    let completed = twin.life(&life(170)).expect("a connection that is known");
    assert_eq!((completed.limits_main_ns, completed.limits_observed_ns), (20 * MS, 40 * MS));

    // What the programs have classified stays, and a connection that goes on has no end.
    let mut twin = lives();
    recording()[..4].iter().for_each(|record| assert!(twin.record(record)));
    let event = event(170, EventType::TCC_EVENT_LIFE, 0);
    let own = LifeRecord { event, reason: 1, limits_observed_ns: 5, ..LifeRecord::default() };
    let open = LifeRecord { event, ..LifeRecord::default() };
    assert!(twin.life(bytes(&open)).is_none() && twin.life(bytes(&own)).is_none());
    assert!(twin.life(&[]).is_none());
}

/// The first timeout changes the state to Loss, the others do not. A record that is missing is one of the others.
#[test]
fn each_timeout_counts() {
    let entered = |ms| {
        let event = event(ms, EventType::TCC_EVENT_CONG_STATE, 2);
        bytes(&CongStateRecord { event, new_ca_state: 4, ..CongStateRecord::default() }).to_vec()
    };
    let retransmit = |ms, ca_state, retransmits| {
        let mut event = event(ms, EventType::TCC_EVENT_RETRANSMIT, 2);
        (event.tcp.ca_state, event.tcp.retransmits) = (ca_state, retransmits);
        bytes(&RetransmitRecord { event, ..RetransmitRecord::default() }).to_vec()
    };
    let counts = |records: &[Vec<u8>]| {
        let mut twin = Twin::new(TwinOptions::default());
        recording()[..4].iter().chain(records).for_each(|record| assert!(twin.record(record)));
        let limits = twin.connections().next().expect("a connection").snapshot(false).limits;
        (limits.rtos, limits.tlps)
    };
    let all = [
        retransmit(160, 0, 0),
        entered(400),
        retransmit(401, 4, 1),
        retransmit(800, 4, 2),
        retransmit(801, 4, 2),
        retransmit(1600, 4, 3),
    ];
    assert_eq!(counts(&all), (3, 1));
    assert_eq!(counts(&[&all[..1], &all[2..]].concat()), (3, 1), "without the change of state");
    // An ACK in Loss, and another timeout.
    assert_eq!(counts(&[&all[..], &[sample(1700), retransmit(2000, 4, 1)]].concat()), (4, 1));
}

#[test]
fn what_needs_other_columns_is_undecided() {
    let missing = vec!["wmem_alloc"];
    let mut twin = Twin::new(TwinOptions { missing, segments: true, ..TwinOptions::default() });
    recording().iter().for_each(|record| assert!(twin.record(record)));
    let connection = twin.connections().next().expect("a connection");
    let totals = connection.totals();
    assert_eq!(of(&totals, LimitCause::Undecided), 20);
    assert_eq!(of(&totals, LimitCause::Application), 0);
    assert_eq!(connection.lacked, ["wmem_alloc"]);
}

#[test]
fn any_bytes_are_safe() {
    let mut twin = Twin::new(TwinOptions { segments: true, ..TwinOptions::default() });
    for record in recording() {
        for at in 0..record.len() {
            let mut changed = record.clone();
            changed[at] ^= 0xff;
            twin.record(&changed);
            twin.life(&changed);
            twin.record(&record[..at]);
        }
    }
    twin.finish(u64::MAX);
    assert!(!twin.record(&[]) && !twin.record(&recording()[0][..70]));
}
