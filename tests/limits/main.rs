//! The rules of `limits` of the programs (src/bpf/limits_rules.h), compiled for the host, and those of recordings (src/limits/): the same
//! events give the same causes, times and evidence, and the times add up to the nanosecond.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use tcc_trace::limits::account::{Account, BusyTime, Ending};
use tcc_trace::limits::rules::{LimitCause, Sock};

static DRIVER: LazyLock<PathBuf> = LazyLock::new(|| {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("limits-{}", std::process::id()));
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let status = Command::new(&clang)
        // The header of the kernel's types is made for the programs: its attributes mean nothing here.
        .args(["-O2", "-w", "-Ivmlinux", "-Isrc/bpf", "tests/limits/driver.c", "-o"])
        .arg(&out)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.expect("clang runs").success());
    out
});

/// As `struct result` in driver.c.
struct Limits {
    ns: [u64; 15],
    acked: [u64; 9],
    begin_ns: u64,
    t0_ns: u64,
    cause: usize,
    evidence: [u64; 8],
}

struct Driver(Child);

impl Driver {
    fn start() -> Self {
        let driver = Command::new(&*DRIVER).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Driver(driver.expect("it runs"))
    }

    fn step(&mut self, step: &Step) -> Limits {
        self.0.stdin.as_mut().unwrap().write_all(&step.bytes()).unwrap();
        let mut bytes = [0; 35 * 8];
        self.0.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word));
        let mut next = || words.next().unwrap();
        Limits {
            ns: std::array::from_fn(|_| next()),
            acked: std::array::from_fn(|_| next()),
            begin_ns: next(),
            t0_ns: next(),
            cause: next() as usize,
            evidence: std::array::from_fn(|_| next()),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[derive(Clone, Debug, Default)]
struct Step {
    sock: Sock,
    cut: Option<(u64, usize)>,
    jiffy_ns: u32,
    rto: bool,
    begin: bool,
    bbr: bool,
    held: u8,
    busy: u32,
}

impl Step {
    /// As `struct step` in driver.c.
    fn bytes(&self) -> Vec<u8> {
        let s = &self.sock;
        let longs = [s.now_ns, s.wstamp_ns, s.pacing_rate, s.max_pacing_rate];
        let words = [
            s.packets_out,
            s.sacked_out,
            s.lost_out,
            s.retrans_out,
            s.write_seq,
            s.snd_nxt,
            s.snd_una,
            s.snd_wnd,
            s.max_window,
            s.snd_cwnd,
            s.snd_cwnd_clamp,
            s.snd_ssthresh,
            s.mss,
            s.rtt_us,
            s.min_rtt_us,
            s.srtt_us,
            s.wmem_alloc,
            self.busy,
        ];
        let bytes = [
            s.state,
            s.ca_state,
            s.pending,
            s.chrono_type,
            s.tsq,
            s.nospace,
            s.paced,
            s.bbr_mode,
            s.bbr_full_bw,
            s.bbr_lt_bw,
            0,
            0,
        ];
        let mut out: Vec<u8> = longs.iter().flat_map(|n| n.to_ne_bytes()).collect();
        out.extend(words.iter().flat_map(|n| n.to_ne_bytes()));
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(8), 0);
        let cut = self.cut.map_or(0, |(ns, cause)| ns << 4 | cause as u64);
        out.extend(cut.to_ne_bytes());
        out.extend(self.jiffy_ns.to_ne_bytes());
        out.extend([self.rto.into(), self.begin.into(), self.bbr.into(), self.held]);
        out
    }
}

/// Numbers near each other, so that every comparison goes both ways.
fn sock() -> impl Strategy<Value = Sock> {
    let flags = (
        (prop_oneof![9 => Just(1_u8), 1 => 2..5_u8], prop_oneof![6 => Just(0_u8), 4 => 1..5_u8]),
        (
            prop_oneof![4 => Just(1_u8), 1 => Just(3_u8)],
            prop_oneof![3 => Just(1_u8), 1 => Just(2_u8)],
        ),
        any::<(bool, bool, bool, bool, bool)>(),
        0..4_u8,
    );
    let seqs = (
        any::<u32>(),
        0..200_000_u32,
        prop_oneof![2 => Just(0_u32), 4 => 1..3000_u32, 4 => 0..400_000_u32],
    );
    let counts = (0..40_u32, 0..6_u32, 0..6_u32, 0..6_u32);
    let windows = (
        prop_oneof![1 => Just(0_u32), 5 => 0..200_000_u32],
        0..300_000_u32,
        1..60_u32,
        prop_oneof![9 => Just(u32::MAX), 1 => 1..60_u32],
        prop_oneof![1 => Just(i32::MAX as u32), 1 => 1..60_u32],
    );
    let rtts = (0..5000_u32, prop_oneof![9 => 1..3000_u32, 1 => Just(u32::MAX)], 0..5000_u32);
    let rates = (1..3000_u64, prop_oneof![2 => Just(u64::MAX), 1 => 1..3000_u64], 0..3_000_000_i64);
    (flags, seqs, counts, windows, rtts, rates, 1..400_000_u32).prop_map(
        |(flags, seqs, counts, windows, rtts, rates, wmem_alloc)| {
            let ((state, ca_state), (pending, chrono_type), (tsq, nospace, paced, full, lt), mode) =
                flags;
            Sock {
                // Relative to the time of the event, until it is known.
                wstamp_ns: rates.2 as u64,
                pacing_rate: rates.0 * 1000,
                max_pacing_rate: rates.1.saturating_mul(1000),
                packets_out: counts.0,
                sacked_out: counts.1,
                lost_out: counts.2,
                retrans_out: counts.3,
                snd_una: seqs.0,
                snd_nxt: seqs.0.wrapping_add(seqs.1),
                write_seq: seqs.0.wrapping_add(seqs.1).wrapping_add(seqs.2),
                snd_wnd: windows.0,
                max_window: windows.1,
                snd_cwnd: windows.2,
                snd_cwnd_clamp: windows.3,
                snd_ssthresh: windows.4,
                mss: 1448,
                rtt_us: rtts.0,
                min_rtt_us: rtts.1,
                srtt_us: rtts.2,
                wmem_alloc,
                state,
                ca_state,
                pending,
                chrono_type,
                tsq: tsq.into(),
                nospace: nospace.into(),
                paced: paced.into(),
                bbr_mode: mode,
                bbr_full_bw: full.into(),
                bbr_lt_bw: lt.into(),
                ..Sock::default()
            }
        },
    )
}

/// The time since the last event, and what happens then.
fn step() -> impl Strategy<Value = (u64, Step)> {
    let gap = prop_oneof![0..2000_u64, 0..5_000_000_u64, 0..400_000_000_u64];
    let cut = proptest::option::weighted(0.2, (0..5_000_000_u64, 0..15_usize));
    let held = prop_oneof![8 => Just(0_u8), 1 => 1..16_u8];
    let jiffy = prop_oneof![3 => Just(0_u32), 1 => Just(4_000_000_u32)];
    (gap, sock(), cut, (proptest::bool::weighted(0.1), any::<bool>(), held, jiffy, 0..20_u32))
        .prop_map(|(gap, sock, cut, (rto, bbr, held, jiffy_ns, busy))| {
            (gap, Step { sock, cut, jiffy_ns, rto, begin: false, bbr, held, busy })
        })
}

#[test]
fn the_programs_and_recordings_have_the_same_rules() {
    let seen = RefCell::new([0_u32; 15]);
    let driver = RefCell::new(Driver::start());
    let mut runner =
        TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(400) });
    let steps = (1_000_000_000..10_000_000_000_000_u64, proptest::collection::vec(step(), 1..60));
    let result = runner.run(&steps, |(start, steps)| {
        let first = Step {
            begin: true,
            sock: Sock { now_ns: start, ..steps[0].1.sock },
            ..Step::default()
        };
        let mut driver = driver.borrow_mut();
        driver.step(&first);
        let (mut twin, mut now) = (Account::begin(&first.sock), start);
        for (gap, mut step) in steps {
            now += gap;
            step.sock.now_ns = now;
            step.sock.wstamp_ns = (now + step.sock.wstamp_ns).saturating_sub(1_000_000);
            step.busy = step.busy.wrapping_add((now / 4_000_000) as u32);
            step.cut = step.cut.map(|(back, cause)| (now.saturating_sub(back), cause));
            twin.memory.bbr = step.bbr;
            let cause = |number: usize| LimitCause::from_number(number).unwrap();
            twin.held = (step.held > 0).then(|| cause(usize::from(step.held) - 1));
            let busy =
                BusyTime { ticks: step.busy, tick_ns: step.jiffy_ns, carry_ns: 2 * step.jiffy_ns };
            let ending = Ending {
                rto: step.rto,
                busy: (step.jiffy_ns > 0).then_some(busy),
                cut: step.cut.map(|(ns, number)| (ns, cause(number))),
            };
            twin.advance(&step.sock, ending);
            let account = driver.step(&step);
            prop_assert_eq!(account.ns, twin.ns, "{:?}", step);
            prop_assert_eq!(&account.acked[..], &twin.acked[3..12], "{:?}", step);
            prop_assert_eq!(Some(account.cause), twin.last.map(|cause| cause as usize));
            prop_assert_eq!(account.ns.iter().sum::<u64>(), now - start, "the sum is the time");
            prop_assert_eq!((account.begin_ns, account.t0_ns), (twin.begin_ns, twin.t0_ns));
            let e = &twin.evidence;
            let evidence = [
                e.longest_rto,
                e.longest_zero_window,
                e.zero_windows,
                e.idles,
                e.writes,
                e.rwnd,
                e.sndbuf,
                e.queued,
            ];
            prop_assert_eq!(account.evidence, evidence.map(u64::from), "{:?}", step);
            seen.borrow_mut()[account.cause] += 1;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // A cause that no step had would not have been compared.
    let seen = seen.into_inner();
    assert!(seen.iter().all(|count| *count >= 20), "{seen:?}");
}

/// Two events at the same time, time that goes backwards, and numbers that wrap.
#[test]
fn the_sum_is_exact_at_the_borders() {
    let mut driver = Driver::start();
    let sock = Sock { now_ns: 5_000, state: 1, mss: 1448, min_rtt_us: u32::MAX, ..Sock::default() };
    driver.step(&Step { begin: true, sock, ..Step::default() });
    for (now_ns, whole) in [(5_000, 0), (4_000, 0), (7_000, 2_000), (7_000, 2_000)] {
        let account = driver.step(&Step { sock: Sock { now_ns, ..sock }, ..Step::default() });
        assert_eq!(account.ns.iter().sum::<u64>(), whole, "{now_ns}");
    }
    let far = Sock { now_ns: u64::MAX >> 5, snd_una: u32::MAX, snd_nxt: 9, write_seq: 9, ..sock };
    let account = driver.step(&Step { sock: far, ..Step::default() });
    assert_eq!(account.ns.iter().sum::<u64>(), far.now_ns - 5_000);
}
