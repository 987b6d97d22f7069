use super::*;

fn modern() -> KernelFeatures {
    KernelFeatures {
        record: Ok(()),
        tp_btf: true,
        cookie_helper: true,
        ringbuf: true,
        missing_events: Vec::new(),
        missing_hooks: Vec::new(),
        sendmsg: true,
        iterators: true,
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
    assert!(all.variants[0].helpers.iter().any(|hook| hook == "conn_destroy"));
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
        ringbuf: false,
        ..modern()
    };
    let plan = plan(&request(), &features).unwrap();
    assert_eq!(order(&plan), [Reader::Raw]);
    assert_eq!(plan.transport, Transport::PerfBuf);
    assert_eq!(plan.variants[0].helpers, ["probe_cookie"]);
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
fn other_events_come_from_typed_programs_and_the_end_before_it_is_deleted() {
    let event_types = EVENT_TYPES
        .iter()
        .filter(|event_type| ["destroy", "state"].contains(&event_type.name))
        .collect();
    let plan = plan_of(&Request { event_types, ..Request::default() });
    assert_eq!(order(&plan), [Reader::Sock, Reader::Raw]);
    assert_eq!(plan.variants[0].helpers, ["closed_keep_btf", "destroy_btf", "conn_destroy"]);
    assert!(plan.variants[0].keeps_closed());
    let names: Vec<&str> = plan.variants[1].programs.iter().map(|(_, name)| &**name).collect();
    assert_eq!(names, ["state_raw", "destroy_raw"]);
}

#[test]
fn connections_are_read_by_the_iterator_and_their_end_before_they_are_deleted() {
    let event_types =
        EVENT_TYPES.iter().filter(|event_type| event_type.name == "destroy").collect();
    let request = Request { event_types, owner: true, conn_snapshots: true, ..Request::default() };
    let hooks = &plan_of(&request).variants[0].helpers;
    let last =
        ["conn_snapshot_born_btf", "closed_keep_btf", "conn_snapshot_end_btf", "conn_destroy"];
    assert!(hooks.ends_with(&last.map(str::to_owned)));
    let old = KernelFeatures { iterators: false, ..modern() };
    assert!(plan(&request, &old).unwrap_err().text().contains("CONFIG_DEBUG_INFO_BTF"));
}

#[test]
fn state_trackers_of_several_types_run_once_and_first() {
    let names = ["life", "accept"];
    let event_types =
        EVENT_TYPES.iter().filter(|event_type| names.contains(&event_type.name)).collect();
    let plan = plan_of(&Request { event_types, list_open: true, ..Request::default() });
    assert!(plan.track_conn && plan.list_open);
    let hooks = [
        "conn_state_btf",
        "conn_reset_btf",
        "conn_reset_sent_btf",
        "synack_time_btf",
        "syn_again_btf",
        "conn_destroy",
    ];
    assert_eq!(plan.variants[0].helpers, hooks);
    let programs = plan.variants[0].programs.iter().map(|(_, name)| &**name);
    let calls = ["accept_enter", "accept4_enter", "accept_exit", "accept4_exit"];
    let others = ["accept_uring", "accept_receive_btf", "accept_state_btf"];
    assert_eq!(programs.collect::<Vec<_>>(), [&["life_btf"], &calls[..], &others].concat());
}

#[test]
fn without_io_uring_accepts_are_seen_by_use() {
    let event_types = EVENT_TYPES.iter().filter(|event_type| event_type.name == "accept").collect();
    let request = Request { event_types, ..Request::default() };
    let features = KernelFeatures { missing_hooks: vec!["io_uring_complete"], ..modern() };
    let variant = &plan(&request, &features).unwrap().variants[0];
    assert!(variant.programs.iter().all(|(_, name)| name != "accept_uring"));
    assert!(variant.programs.iter().any(|(_, name)| name == "accept_receive_btf"));
    assert!(variant.notes[0].contains("io_uring:io_uring_complete"), "{:?}", variant.notes);
}

#[test]
fn packets_are_sampled_only_for_columns_that_need_them() {
    let event_types = EVENT_TYPES.iter().filter(|event_type| event_type.name == "life").collect();
    let request = Request { event_types, ..Request::default() };
    let sampling = |request: &Request| {
        plan_of(request).variants[0].helpers.iter().any(|hook| hook == "conn_sample_btf")
    };
    assert!(!sampling(&request));
    assert!(sampling(&Request { samples: true, ..request }));
}

#[test]
fn an_event_type_may_have_several_programs() {
    let event_types: Vec<_> = EVENT_TYPES
        .iter()
        .filter(|event_type| ["destroy", "spurious"].contains(&event_type.name))
        .collect();
    let request = Request { event_types, ..Request::default() };
    let whole = &plan_of(&request).variants[0];
    let hooks = ["closed_keep_btf", "spurious_destroy_btf", "destroy_btf", "conn_destroy"];
    assert_eq!(whole.helpers, hooks, "its last event is last");
    assert!(whole.programs.iter().any(|(_, name)| name == "spurious_state_btf"));
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
    let programs: Vec<&str> = variant.programs.iter().map(|(_, name)| &**name).collect();
    assert_eq!(programs, ["queue_btf", "queue_begin_btf", "queue_leave_btf"]);
    assert!(variant.notes[0].contains("qdisc:qdisc_enqueue"), "{:?}", variant.notes);
    assert!(variant.notes[0].ends_with("`qdisc_us` begins at net_dev_queue"));
}

#[test]
fn without_tracefs_a_note_names_the_missing_cookies() {
    let features =
        KernelFeatures { cookie_helper: false, tracefs: Err("not mounted".into()), ..modern() };
    let request = Request { reader: Some(Reader::Sock), ..request() };
    let plan = plan(&request, &features).unwrap();
    assert!(plan.variants[0].helpers.is_empty());
    assert!(plan.variants[0].notes[0].contains("not mounted"));
}

#[test]
fn an_event_type_without_its_tracepoint_is_inferred_from_others() {
    let event_types: Vec<_> =
        EVENT_TYPES.iter().filter(|event_type| event_type.name == "cong_state").collect();
    let names = |plan: &Plan| {
        let programs = plan.variants[0].programs.iter().map(|(_, name)| name.clone());
        programs.collect::<Vec<_>>()
    };
    let request = Request { event_types, ..Request::default() };
    assert_eq!(names(&plan_of(&request)), ["cong_state_btf"]);
    let features = KernelFeatures { missing_hooks: vec!["tcp_cong_state_set"], ..modern() };
    let inferred = plan(&request, &features).unwrap();
    assert_eq!(names(&inferred), ["cong_seen_btf", "cong_seen_retransmit_btf"]);
    assert_eq!(inferred.variants[0].helpers, ["conn_state_btf", "conn_destroy"]);
    assert!(inferred.variants[0].notes[0].contains("without tcp:tcp_cong_state_set"));
    assert_eq!(plan_of(&Request { inferred: true, ..request }), inferred);
}

#[test]
fn states_are_added_up_from_the_beginning_to_the_end() {
    let event_types =
        EVENT_TYPES.iter().filter(|event_type| event_type.name == "cong_state").collect();
    let plan = plan_of(&Request { event_types, ca_state_times: true, ..Request::default() });
    let hooks =
        ["conn_state_btf", "ca_state_time_close_btf", "ca_state_time_end_btf", "conn_destroy"];
    assert_eq!(plan.variants[0].helpers, hooks);
}
