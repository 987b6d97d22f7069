//! Filters by whose a socket is: process, user, cgroup. What belongs to whom is known from the traffic's own account, not
//! from our columns.

use std::path::Path;

use crate::support::{
    Cgroup, FilteredTracers, Launch, Server, TempDir, TestProcess, Tracer, cgroup2, is_one_of,
    is_root, named, pingpong, traffic_program, turns, unique,
};

fn check_processes(reader: &str) {
    need!(is_root(), "not root");
    turns(|| processes(reader));
}

fn processes(reader: &str) -> Result<(), String> {
    let dir = TempDir::new();
    let name = unique("x");
    let (here, program) = (Launch::here(), named(&dir, &name));
    let (one, two) = (Server::start("127.0.0.1:0", None), Server::start("127.0.0.1:0", None));
    let mut process = TestProcess::start();
    let to = process.listen("127.0.0.1:0");
    // There before the tracers are.
    let old = process.connect("old", to);
    process.accept("other");

    let ports = format!("{},{},{}", one.port(), two.port(), to.port());
    let sides = FilteredTracers::start(
        &ports,
        reader,
        &[
            format!("-P {ports} --pid {}", one.pid()),
            format!("-P {ports} --pid {},{} -a", two.pid(), process.pid),
            format!("-P {ports} --comm {name}"),
            format!("-P {ports} --comm {name} --pid {}", process.pid),
            format!("-P {ports} --comm traffic,{name}"),
        ],
    );
    for (from, into) in [("old", "other"), ("other", "old")] {
        process.send(from, 100);
        process.receive(into, 100);
    }
    let new = process.connect("new", one.addr);
    process.send("new", 100);
    let named =
        [pingpong(&here, &program, one.addr, &[]), pingpong(&here, &program, two.addr, &[])]
            .concat();
    pingpong(&here, &traffic_program(), one.addr, &[]);
    process.close("new");

    let (one, two, to) = (u64::from(one.port()), u64::from(two.port()), u64::from(to.port()));
    let processs = [to, old.local.port().into(), new.local.port().into()];
    sides.finish(|sides| {
        sides.expect(0, |e| is_one_of(e, "sport", &[one]))?;
        sides.expect(1, |e| is_one_of(e, "sport", &processs) || is_one_of(e, "sport", &[two]))?;
        sides.expect(2, |e| is_one_of(e, "sport", &named))?;
        sides.expect_of(3, |_| Vec::new(), false)?;
        sides.expect(4, |e| !is_one_of(e, "sport", &processs))?;
        Ok(())
    })?;
    Ok(())
}

fn check_users(reader: &str) {
    need!(is_root(), "not root");
    turns(|| users(reader));
}

fn users(reader: &str) -> Result<(), String> {
    let dir = TempDir::new();
    let program = named(&dir, "traffic");
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port();
    let filters =
        ["--uid 4242", "--uid 4242,4243", "--uid 0"].map(|uid| format!("-P {port} {uid}"));
    let sides = FilteredTracers::start(&server.port_text(), reader, &filters);
    let run = |uid: &str| {
        let launch = Launch::here().within(&["setpriv", "--reuid", uid, "--clear-groups"]);
        pingpong(&launch, &program, server.addr, &[])
    };
    let (a, b) = (run("4242"), run("4243"));
    run("4244");
    let root = pingpong(&Launch::here(), &program, server.addr, &[]);
    sides.finish(|sides| {
        sides.expect(0, |e| is_one_of(e, "sport", &a))?;
        sides.expect(1, |e| is_one_of(e, "sport", &a) || is_one_of(e, "sport", &b))?;
        sides
            .expect(2, |e| is_one_of(e, "sport", &root) || is_one_of(e, "sport", &[port.into()]))?;
        Ok(())
    })?;
    Ok(())
}

fn check_cgroups(reader: &str) {
    need!(is_root(), "not root");
    let Some(mount) = cgroup2() else {
        return need!(false, "no cgroup2 is mounted");
    };
    turns(|| cgroups(reader, &mount));
}

fn cgroups(reader: &str, mount: &Path) -> Result<(), String> {
    let name = unique("tcc-");
    let group = Cgroup::new(mount.join(&name));
    let child = Cgroup::new(group.0.join("child"));
    let sibling = Cgroup::new(mount.join(format!("{name}-2")));
    let server = Server::start("127.0.0.1:0", None);
    let port = server.port();
    let sides = FilteredTracers::start(
        &server.port_text(),
        reader,
        &[
            format!("-P {port} --cgroup {}", group.name()),
            format!("-P {port} --cgroup {name}"),
            format!("-P {port} --cgroup {name}/child -a"),
            format!("-P {port} --cgroup /{name}/child --cgroup {}", sibling.name()),
        ],
    );
    let run = |group: &Cgroup| {
        pingpong(&group.launch(Launch::here()), &traffic_program(), server.addr, &[])
    };
    let (in_group, in_child, in_sibling) = (run(&group), run(&child), run(&sibling));
    pingpong(&Launch::here(), &traffic_program(), server.addr, &[]);
    let below = [in_group, in_child.clone()].concat();
    let others = [in_child.clone(), in_sibling].concat();
    sides.finish(|sides| {
        sides.expect(0, |e| is_one_of(e, "sport", &below))?;
        sides.expect(1, |e| is_one_of(e, "sport", &below))?;
        sides.expect(2, |e| is_one_of(e, "sport", &in_child))?;
        sides.expect(3, |e| is_one_of(e, "sport", &others))?;
        Ok(())
    })?;
    drop(child);
    Ok(())
}

/// The programs look at so many groups above a socket's; what lies deeper would never match.
fn check_depth(reader: &str) {
    need!(is_root(), "not root");
    let Some(mount) = cgroup2() else {
        return need!(false, "no cgroup2 is mounted");
    };
    let mut groups = vec![Cgroup::new(mount.join(unique("tcc-")))];
    while groups.len() < 32 {
        let inner = groups.last().expect("one").0.join("a");
        groups.push(Cgroup::new(inner));
    }
    let [.., deepest, too_deep] = &groups[..] else { panic!("{}", groups.len()) };
    let args = ["-d", "1s", "--reader", reader, "--cgroup", &too_deep.name()];
    let refused = Tracer::spawn(&Launch::here(), &args).wait_raw();
    assert_eq!((refused.status.code(), refused.stderr.lines().count()), (Some(2), 1));
    assert!(refused.stderr.contains("32 levels deep"), "{}", refused.stderr);

    turns(|| {
        let server = Server::start("127.0.0.1:0", None);
        let port = server.port();
        let option = format!("-P {port} --cgroup {}", deepest.name());
        let sides = FilteredTracers::start(&server.port_text(), reader, &[option]);
        let launch = deepest.launch(Launch::here());
        let inside = pingpong(&launch, &traffic_program(), server.addr, &[]);
        pingpong(&Launch::here(), &traffic_program(), server.addr, &[]);
        sides.finish(|sides| sides.expect(0, |e| is_one_of(e, "sport", &inside)))
    });
    // The inner ones first.
    while groups.pop().is_some() {}
}

by_sock_and_raw! {
    check_depth: depth_by_sock depth_by_raw;
    check_processes: processes_by_sock processes_by_raw;
    check_users: users_by_sock users_by_raw;
    check_cgroups: cgroups_by_sock cgroups_by_raw;
}

/// Only where our numbers are the kernel's are they looked at.
#[test]
fn a_thread_is_no_process() {
    let ns = std::fs::read_link("/proc/self/ns/pid").expect("a link");
    need!(ns.as_os_str() == "pid:[4026531836]", "in a pid namespace", legitimate: true);
    let refuse = || {
        let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
        let output = Tracer::spawn(&Launch::here(), &["--pid", &thread]).wait_raw();
        let words =
            format!("--pid {thread}: this is a thread; use its process, {}", std::process::id());
        assert_eq!(output.stderr, format!("tcc-trace: {words}\n"));
        assert_eq!(output.status.code(), Some(2));
    };
    std::thread::scope(|scope| scope.spawn(refuse).join()).expect("refused");
}
