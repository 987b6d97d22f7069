use super::programs::{LEAN, SENDMSG};
use super::*;

fn modern() -> KernelFeatures {
    KernelFeatures {
        record: Ok(()),
        tp_btf: true,
        cookie_helper: true,
        tcp_sock_type: Some(1),
        skips_nested: true,
        ringbuf: true,
        missing_events: Vec::new(),
        missing_hooks: Vec::new(),
        sendmsg: true,
        mainline_bbr: true,
        iterators: true,
        map_iterators: true,
        tracefs: Ok(()),
    }
}

fn request() -> Request {
    Request { event_types: vec![&EVENT_TYPES[0]], ..Request::default() }
}

fn order(plan: &Plan) -> Vec<Reader> {
    plan.variants.iter().map(|v| v.reader).collect()
}

#[test]
fn the_record_is_used_only_if_nothing_more_is_requested() {
    let plain = plan(&request(), &modern()).unwrap();
    assert_eq!(order(&plain), [Reader::Sock, Reader::Record, Reader::Raw]);
    assert!(!plain.track_conn);
    let no_cookies = KernelFeatures { cookie_helper: false, ..modern() };
    let plain = plan(&request(), &no_cookies).unwrap();
    assert_eq!(order(&plain), [Reader::Record, Reader::Sock, Reader::Raw]);
    let no_trampolines = KernelFeatures { tp_btf: false, ..modern() };
    let plain = plan(&request(), &no_trampolines).unwrap();
    assert_eq!(order(&plain), [Reader::Record, Reader::Raw]);
    let all = Request { beyond_record: Some("--all-fields"), owner: true, ..request() };
    let all = plan_of(&all);
    assert_eq!(order(&all), [Reader::Sock, Reader::Raw]);
    assert!(all.variants[0].tracks(Tracker::Owner));
    assert!(all.variants[0].hooks("tcp_destroy_sock"));
}

fn names(variant: &Variant) -> Vec<&str> {
    variant.program_names().collect()
}

fn plan_of(request: &Request) -> Plan {
    plan(request, &modern()).unwrap()
}

#[test]
fn an_old_kernel_gets_the_raw_reader_and_perf_buffers_with_cookies() {
    let features = KernelFeatures {
        record: Err("tracefs is not mounted".into()),
        tp_btf: false,
        cookie_helper: false,
        skips_nested: false,
        ringbuf: false,
        ..modern()
    };
    let plan = plan(&request(), &features).unwrap();
    assert_eq!(order(&plan), [Reader::Raw]);
    assert_eq!(plan.transport, Transport::PerfBuf);
    let programs = ["tcp_probe_cookie", "tcp_probe_lean_raw"];
    assert_eq!(names(&plan.variants[0]), programs);
}

#[test]
fn what_cannot_be_had_is_refused_with_the_way_out() {
    let all =
        Request { reader: Some(Reader::Record), beyond_record: Some("--cgroup"), ..request() };
    assert!(plan(&all, &modern()).unwrap_err().text().contains("--cgroup needs --reader sock"));
    let ring = Request { transport: Some(Transport::RingBuf), ..request() };
    let old = KernelFeatures { ringbuf: false, ..modern() };
    assert!(plan(&ring, &old).unwrap_err().text().contains("--transport perfbuf"));
    let none = KernelFeatures { missing_events: vec![("probe", "it has none".into())], ..modern() };
    assert!(plan(&request(), &none).is_err());
}

#[test]
fn other_events_come_from_typed_programs() {
    let event_types = EVENT_TYPES
        .iter()
        .filter(|event_type| ["destroy", "state"].contains(&event_type.name))
        .collect();
    let plan = plan_of(&Request { event_types, ..Request::default() });
    assert_eq!(order(&plan), [Reader::Sock, Reader::Raw]);
    let programs = [
        "inet_sock_set_state_btf",
        "tcp_destroy_sock_btf",
        "inet_sock_set_state_fallback_btf",
        "tcp_destroy_sock_fallback_btf",
    ];
    assert_eq!(names(&plan.variants[0]), programs);
    assert_eq!(plan.variants[0].trackers, [Tracker::Closed]);
    let raw = plan.variants[1].programs.iter().map(|program| &*program.name);
    let events = ["tcp_probe_cookie", "inet_sock_set_state_raw", "tcp_destroy_sock_raw"];
    assert_eq!(raw.collect::<Vec<_>>(), events);
}

#[test]
fn connections_are_read_by_the_iterator_and_at_their_ends() {
    let event_types =
        EVENT_TYPES.iter().filter(|event_type| event_type.name == "destroy").collect();
    let request = Request { event_types, owner: true, conn_snapshots: true, ..Request::default() };
    let trackers = [Tracker::Owner, Tracker::Closed, Tracker::Snapshots];
    assert_eq!(plan_of(&request).variants[0].trackers, trackers);
    let old = KernelFeatures { iterators: false, ..modern() };
    assert!(plan(&request, &old).unwrap_err().text().contains("CONFIG_DEBUG_INFO_BTF"));
}

#[test]
fn a_tracepoint_has_one_program_for_all_types_and_trackers() {
    let names = ["life", "accept"];
    let event_types =
        EVENT_TYPES.iter().filter(|event_type| names.contains(&event_type.name)).collect();
    let plan = plan_of(&Request { event_types, list_open: true, ..Request::default() });
    assert!(plan.track_conn && plan.list_open);
    let variant = &plan.variants[0];
    let trackers = [Tracker::History, Tracker::Resets, Tracker::SynackTime, Tracker::SynAgain];
    assert_eq!(variant.trackers, trackers);
    let tracepoints: Vec<&str> = variant.programs.iter().map(|of| of.tracepoint).collect();
    let all = [
        "inet_sock_set_state",
        "tcp_receive_reset",
        "tcp_send_reset",
        "tcp_retransmit_synack",
        "tcp_retransmit_skb",
        "sys_exit_accept4",
        "sys_enter_accept4",
        "sys_enter_accept",
        "sys_exit_accept",
        "io_uring_complete",
        "tcp_rcv_space_adjust",
        "tcp_destroy_sock",
    ];
    assert_eq!(tracepoints, all);
}

#[test]
fn without_io_uring_accepts_are_seen_by_use() {
    let event_types = EVENT_TYPES.iter().filter(|event_type| event_type.name == "accept").collect();
    let request = Request { event_types, ..Request::default() };
    let features = KernelFeatures { missing_hooks: vec!["io_uring_complete"], ..modern() };
    let variant = &plan(&request, &features).unwrap().variants[0];
    assert!(!variant.hooks("io_uring_complete") && variant.hooks("tcp_rcv_space_adjust"));
    assert!(variant.notes[0].contains("io_uring:io_uring_complete"), "{:?}", variant.notes);
}

#[test]
fn packets_are_sampled_only_for_columns_that_need_them() {
    let event_types = EVENT_TYPES.iter().filter(|event_type| event_type.name == "life").collect();
    let request = Request { event_types, ..Request::default() };
    let sampling = |request: &Request| plan_of(request).variants[0].hooks("tcp_probe");
    assert!(!sampling(&request));
    assert!(sampling(&Request { samples: true, ..request }));
}

#[test]
fn what_limits_connections_is_classified_only_on_request() {
    let event_types = EVENT_TYPES.iter().filter(|event_type| event_type.name == "life").collect();
    let request = Request { event_types, ..Request::default() };
    let without = &plan_of(&request).variants[0];
    assert!(!without.tracks(Tracker::Limits) && !without.hooks("net_dev_queue"));
    let request = Request { limits: true, ..request };
    let with = &plan_of(&request).variants[0];
    assert!(with.tracks(Tracker::Limits) && !with.tracks(Tracker::LimitsEnds));
    let hooks = ["tcp_probe", "tcp_sendmsg_locked", "tcp_cong_state_set", "net_dev_queue"];
    assert!(hooks.iter().all(|hook| with.hooks(hook)));
    let features = KernelFeatures { sendmsg: false, ..modern() };
    let older = &plan(&request, &features).unwrap().variants[0];
    assert!(older.notes[0].contains("tcp:tcp_sendmsg_locked"), "{:?}", older.notes);
    let snapshots = &plan_of(&Request { limits_snapshots: true, ..request }).variants[0];
    assert!(snapshots.tracks(Tracker::LimitsEnds));
}

#[test]
fn an_event_type_may_have_several_tracepoints() {
    let event_types: Vec<_> = EVENT_TYPES
        .iter()
        .filter(|event_type| ["destroy", "spurious"].contains(&event_type.name))
        .collect();
    let request = Request { event_types, ..Request::default() };
    let whole = &plan_of(&request).variants[0];
    assert!(whole.hooks("tcp_cong_state_set"));
    assert_eq!(
        whole.event_types().map(|event_type| event_type.name).collect::<Vec<_>>(),
        ["destroy", "spurious"]
    );
    let features = KernelFeatures { missing_hooks: vec!["tcp_cong_state_set"], ..modern() };
    let less = &plan(&request, &features).unwrap().variants[0];
    assert_eq!(less.programs.len() + 1, whole.programs.len());
    assert!(less.notes[0].contains("tcp:tcp_cong_state_set"));
}

#[test]
fn a_note_names_what_is_missing_without_a_tracepoint() {
    let event_types: Vec<_> =
        EVENT_TYPES.iter().filter(|event_type| event_type.name == "queue").collect();
    let request = Request { event_types, ..Request::default() };
    let features = KernelFeatures { missing_hooks: vec!["qdisc_enqueue"], ..modern() };
    let variant = &plan(&request, &features).unwrap().variants[0];
    let programs = ["net_dev_start_xmit_btf", "net_dev_queue_btf", "qdisc_dequeue_btf"];
    assert_eq!(names(variant), programs);
    assert!(variant.notes[0].contains("qdisc:qdisc_enqueue"), "{:?}", variant.notes);
    assert!(variant.notes[0].ends_with("`qdisc_us` begins at net_dev_queue"));
}

#[test]
fn without_tracefs_a_note_names_the_missing_cookies() {
    let features =
        KernelFeatures { cookie_helper: false, tracefs: Err("not mounted".into()), ..modern() };
    let request = Request { reader: Some(Reader::Sock), ..request() };
    let plan = plan(&request, &features).unwrap();
    assert!(plan.variants[0].programs.iter().all(|program| program.role == Role::Events));
    assert!(plan.variants[0].notes[0].contains("not mounted"));
}

#[test]
fn an_event_type_without_its_tracepoint_is_inferred_from_others() {
    let event_types: Vec<_> =
        EVENT_TYPES.iter().filter(|event_type| event_type.name == "cong_state").collect();
    let request = Request { event_types, ..Request::default() };
    let own = plan_of(&request);
    assert!(own.variants[0].hooks("tcp_cong_state_set") && !own.variants[0].inferred);
    let features = KernelFeatures { missing_hooks: vec!["tcp_cong_state_set"], ..modern() };
    let inferred = plan(&request, &features).unwrap();
    let variant = &inferred.variants[0];
    assert!(variant.inferred && variant.hooks("tcp_probe") && variant.hooks("tcp_retransmit_skb"));
    assert!(!variant.hooks("tcp_cong_state_set"));
    assert_eq!(variant.trackers, [Tracker::History]);
    assert!(inferred.variants[0].notes[0].contains("without tcp:tcp_cong_state_set"));
    assert_eq!(plan_of(&Request { inferred: true, ..request }), inferred);
}

#[test]
fn states_are_added_up_from_the_beginning_to_the_end() {
    let event_types =
        EVENT_TYPES.iter().filter(|event_type| event_type.name == "cong_state").collect();
    let plan = plan_of(&Request { event_types, ca_state_times: true, ..Request::default() });
    assert_eq!(plan.variants[0].trackers, [Tracker::History, Tracker::CaStateTime]);
}

/// The program of that tracepoint, as it is named in the typed flavour.
fn program_at<'a>(plan: &'a Plan, tracepoint: &str) -> &'a str {
    let mut programs = plan.variants[0].programs.iter();
    &programs.find(|program| program.tracepoint == tracepoint).unwrap().name
}

#[test]
fn a_program_is_lean_if_nothing_else_is_needed_of_its_tracepoint() {
    let samples = Request { owner: true, beyond_record: Some("--all-fields"), ..request() };
    let plan = plan_of(&samples);
    for lean in LEAN {
        let tracepoint = after_group(lean.hook);
        assert_eq!(program_at(&plan, tracepoint), format!("{tracepoint}_lean_btf"));
    }
    let limits = plan_of(&Request { limits: true, ..samples.clone() });
    assert_eq!(program_at(&limits, "tcp_probe"), "tcp_probe_btf");
    assert_eq!(program_at(&limits, "tcp_rcv_space_adjust"), "tcp_rcv_space_adjust_lean_btf");
    let types = EVENT_TYPES.iter().filter(|of| ["probe", "zero_window"].contains(&of.name));
    let windows = plan_of(&Request { event_types: types.collect(), ..samples });
    for lean in LEAN.iter().filter(|lean| lean.hook != SENDMSG) {
        let tracepoint = after_group(lean.hook);
        assert_eq!(program_at(&windows, tracepoint), format!("{tracepoint}_btf"));
    }
}

#[test]
fn connections_are_read_one_by_one_where_iterators_over_them_are_refused() {
    let observes = Request { observes: true, ..request() };
    assert!(!plan(&observes, &modern()).unwrap().one_by_one);
    let refused = KernelFeatures { map_iterators: false, ..modern() };
    let other = plan(&observes, &refused).unwrap();
    assert!(other.one_by_one && other.variants[0].notes == [notes::ONE_BY_ONE]);
    let probe = plan(&request(), &refused).unwrap();
    assert!(!probe.one_by_one && probe.variants[0].notes.is_empty());
}
