//! A command line of tcc-trace, word by word.

use super::launch::Launch;
use super::tracer::{Output, Trace, Tracer};

/// How programs read the socket; `--reader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Record,
    Sock,
    Raw,
}

impl Reader {
    pub const fn name(self) -> &'static str {
        match self {
            Reader::Record => "record",
            Reader::Sock => "sock",
            Reader::Raw => "raw",
        }
    }
}

/// For checks that take it as text.
impl From<Reader> for &'static str {
    fn from(reader: Reader) -> Self {
        reader.name()
    }
}

/// Starts as `tcc-trace COMMAND -o jsonl`, where it sees tracefs.
#[derive(Clone, Debug)]
pub struct Tcc {
    launch: Launch,
    args: Vec<String>,
}

impl Tcc {
    pub fn command(command: &str) -> Self {
        Tcc { launch: Launch::here().with_tracefs(), args: vec![command.into()] }.output("jsonl")
    }

    pub fn probe() -> Self {
        Tcc::command("probe")
    }

    pub fn connect() -> Self {
        Tcc::command("connect")
    }

    pub fn life() -> Self {
        Tcc::command("life")
    }

    /// `events` of these types.
    pub fn events(types: &[&str]) -> Self {
        let mut tcc = Tcc::command("events");
        tcc.args.insert(1, types.join(","));
        tcc
    }

    /// In place of `-o jsonl`.
    pub fn output(self, format: &str) -> Self {
        self.default_output().option("-o", format)
    }

    /// Without `-o`: the text that users see.
    pub fn default_output(mut self) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg == "-o") {
            self.args.drain(at..at + 2);
        }
        self
    }

    pub fn reader(self, reader: Reader) -> Self {
        self.option("--reader", reader.name())
    }

    /// Only connections with one of these ports, at either end.
    pub fn ports(self, ports: &[u16]) -> Self {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        self.option("--port", &ports.join(","))
    }

    pub fn all_fields(self) -> Self {
        self.flag("--all-fields")
    }

    /// Any other option.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    pub fn flag(mut self, name: &str) -> Self {
        self.args.push(name.to_owned());
        self
    }

    /// Starts it and waits until it traces.
    #[track_caller]
    pub fn start(&self) -> Tracer {
        let mut tracer = self.spawn();
        tracer.wait_ready();
        tracer
    }

    /// Starts it and does not wait.
    #[track_caller]
    pub fn spawn(&self) -> Tracer {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        Tracer::spawn(&self.launch, &args)
    }

    /// Traces what is done meanwhile, all of which must be accounted for.
    #[track_caller]
    pub fn trace(&self, done: impl FnOnce()) -> Trace {
        let tracer = self.start();
        done();
        let trace = tracer.stop();
        trace.check_account();
        trace
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(&self) -> Output {
        self.spawn().wait_raw()
    }
}
