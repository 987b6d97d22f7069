//! What one tracer of the scenario has recorded.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::{Launch, Output, Reader, TempDir, Trace, Tracer, tags_of_programs};

/// One that runs.
pub struct Recorder {
    reader: Reader,
    transport: &'static str,
    tracer: Tracer,
    tags: Vec<String>,
    dir: TempDir,
}

/// Of one that has ended.
pub struct Recorded {
    reader: Reader,
    transport: &'static str,
    /// What it printed, if it did.
    pub output: Output,
    recording: Vec<u8>,
    /// See [`tags_of_programs`].
    pub tags: Vec<String>,
}

/// Its command line but for the outputs.
pub fn recorder_arguments(reader: &str, transport: &str, ports: &[u16]) -> Vec<String> {
    let events: &[&str] = match reader {
        "record" => &["probe"],
        _ => &["events", "all", "--all-fields", "--stack"],
    };
    let [first, .., last] = ports else { panic!("two ports at least") };
    let ports = format!("{first}-{last}");
    let options = ["-v", "--reader", reader, "--transport", transport, "--port", &ports];
    [events, &options].concat().into_iter().map(str::to_owned).collect()
}

impl Recorder {
    /// `prints`: beside the recording.
    #[track_caller]
    pub fn start(reader: Reader, transport: &'static str, ports: &[u16], prints: bool) -> Self {
        let dir = TempDir::new();
        let file = dir.path().join("run.tcc");
        let mut args = recorder_arguments(reader.name(), transport, ports);
        if prints {
            args.extend(["-o", "jsonl"].map(str::to_owned));
        }
        args.extend(["-w".to_owned(), file.to_str().expect("UTF-8").to_owned()]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut tracer = Tracer::spawn(&Launch::here().with_tracefs(), &args);
        tracer.wait_ready();
        let tags = tags_of_programs(tracer.pid());
        Recorder { reader, transport, tracer, tags, dir }
    }

    #[track_caller]
    pub fn stop(self) -> Recorded {
        let Recorder { reader, transport, tracer, tags, dir } = self;
        let output = tracer.stop_raw();
        assert!(output.status.success(), "{:?}: {}", output.status, output.stderr);
        let recording = std::fs::read(dir.path().join("run.tcc")).expect("the recording");
        Recorded { reader, transport, output, recording, tags }
    }
}

impl Recorded {
    pub fn is_by(&self, reader: &str, transport: &str) -> bool {
        (self.reader.name(), self.transport) == (reader, transport)
    }

    /// The programs that it has loaded.
    #[track_caller]
    pub fn programs(&self) -> BTreeSet<String> {
        self.output.programs()
    }

    /// Reads the recording with that command line.
    #[track_caller]
    pub fn read(&self, args: &[&str]) -> Output {
        let (_dir, path) = self.file();
        let path = path.to_str().expect("UTF-8");
        let output = Tracer::spawn(&Launch::here(), &[args, &["-r", path]].concat()).wait_raw();
        assert!(output.status.success(), "{args:?}: {}", output.stderr);
        output
    }

    /// A file that holds it, in a directory that goes with its owner.
    pub fn file(&self) -> (TempDir, PathBuf) {
        let dir = TempDir::new();
        let path = dir.path().join("run.tcc");
        std::fs::write(&path, &self.recording).expect("a temporary file");
        (dir, path)
    }

    /// The samples, of that port if one is given: these columns, or all.
    #[track_caller]
    pub fn samples(&self, columns: Option<&str>, port: Option<u16>) -> Trace {
        let port = port.map(|port| port.to_string());
        let of_port = port.as_deref().map_or(vec![], |port| vec!["--port", port]);
        let columns = columns.map_or(vec!["-a"], |columns| vec!["--fields", columns]);
        let trace =
            self.read(&[&["probe", "-o", "jsonl"], &columns[..], &of_port].concat()).trace();
        trace.check_account();
        Trace { stderr: self.output.stderr.clone(), ..trace }
    }

    /// The events of a type, with these columns.
    #[track_caller]
    pub fn events(&self, event_type: &str, columns: &str) -> Trace {
        let trace = self.read(&["events", event_type, "--fields", columns, "-o", "jsonl"]).trace();
        trace.check_accounts(&[event_type]);
        Trace { stderr: self.output.stderr.clone(), ..trace }
    }

    /// The events of a type with all fields, of these ports; of drops the call chains, too.
    #[track_caller]
    pub fn all_fields(&self, event_type: &str, ports: &[u16]) -> Trace {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let ports = ports.join(",");
        let mut args = vec!["events", event_type, "-a", "-o", "jsonl", "--port", &ports];
        if event_type == "drop" {
            args.push("--stack");
        }
        let trace = self.read(&args).trace();
        trace.check_accounts(&[event_type]);
        Trace { stderr: self.output.stderr.clone(), ..trace }
    }

    /// The events of all types with all fields, of these ports.
    #[track_caller]
    pub fn all_of(&self, ports: &[u16]) -> Trace {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let args = ["events", "all", "-a", "-o", "jsonl", "--port", &ports.join(",")];
        let trace = self.read(&args).trace();
        trace.check_account();
        trace
    }
}
