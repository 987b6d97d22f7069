//! The puppet's own end: what it does with sockets as the test says, word for word.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt;
use socket2::{Domain, SockRef, Type};

use super::puppet::{CONTROL, command};

const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

/// Not a test: the puppet's own end. Does nothing where no test asked for it.
#[test]
#[ignore = "the role that other tests run this program in"]
fn role() {
    let Some(path) = std::env::var_os(CONTROL) else {
        return;
    };
    let stream = UnixStream::connect(path).expect("the test");
    let mut out = stream.try_clone().expect("a copy");
    let mut stage = Stage::default();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match stage.play(&words) {
            Ok(answer) => format!("ok {answer}"),
            Err(error) => format!("error {error}"),
        };
        if writeln!(out, "{answer}").is_err() {
            break;
        }
    }
    // At once, and nothing of the harness.
    std::process::exit(0);
}

#[derive(Default)]
struct Stage {
    listener: Option<TcpListener>,
    connections: HashMap<String, TcpStream>,
    children: Vec<std::process::Child>,
    control: String,
    /// Of sockets made from now on.
    cc: Option<String>,
}

impl Stage {
    fn play(&mut self, words: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
        match words {
            ["listen", addr] => {
                let listener = TcpListener::bind(addr)?;
                self.set_cc(SockRef::from(&listener))?;
                let addr = listener.local_addr()?;
                self.listener = Some(listener);
                return Ok(addr.to_string());
            }
            // A mark and a device of the listener's own.
            ["listener", mark, device] => {
                let socket = SockRef::from(self.listener.as_ref().ok_or("no listener")?);
                let mark = mark.strip_prefix("0x").ok_or("not hexadecimal")?;
                socket.set_mark(u32::from_str_radix(mark, 16)?)?;
                socket.bind_device(Some(device.as_bytes()))?;
            }
            ["accept", name] => {
                if self.listener.is_none() {
                    self.listener = Some(std::io::stdin().as_fd().try_clone_to_owned()?.into());
                }
                let (stream, _) = self.listener.as_ref().ok_or("no listener")?.accept()?;
                return self.keep(name, stream);
            }
            // By the system call that accept4 has replaced.
            ["accept1", name] => {
                let listener = self.listener.as_ref().ok_or("no listener")?;
                return self.keep(name, rustix::net::accept(listener)?.into());
            }
            ["connect", name, addr] => {
                let addr: SocketAddr = addr.parse()?;
                let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
                self.set_cc(SockRef::from(&socket))?;
                socket.connect(&addr.into())?;
                return self.keep(name, socket.into());
            }
            ["inherit", name] => {
                let stream = std::io::stdin().as_fd().try_clone_to_owned()?.into();
                return self.keep(name, stream);
            }
            ["send", name, bytes] => self.named(name)?.write_all(&vec![b'x'; bytes.parse()?])?,
            ["receive", name, bytes] => {
                self.named(name)?.read_exact(&mut vec![0; bytes.parse()?])?
            }
            // As much as the buffers take; how much that was.
            ["fill", name] => {
                let mut stream = self.named(name)?;
                stream.set_write_timeout(Some(std::time::Duration::from_millis(200)))?;
                let mut bytes = 0;
                while let Ok(taken) = stream.write(&[b'x'; 65536]) {
                    bytes += taken;
                }
                return Ok(bytes.to_string());
            }
            ["set", name, mark, tos] => {
                let socket = SockRef::from(self.named(name)?);
                socket.set_tos_v4(tos.parse()?)?;
                socket.set_mark(mark.parse()?)?;
            }
            // Its error's name, or nothing.
            ["attempt", addr] => {
                let error = TcpStream::connect(addr.parse::<SocketAddr>()?).err();
                return Ok(error.map_or(String::new(), |error| format!("{:?}", error.kind())));
            }
            ["burst", addr, count, bytes] => {
                let bytes = vec![b'x'; bytes.parse()?];
                for _ in 0..count.parse()? {
                    let mut stream = TcpStream::connect(addr.parse::<SocketAddr>()?)?;
                    stream.write_all(&bytes)?;
                    // To the server's end of it: if all came at once, some would not find room in its queue, and try
                    // again after a second.
                    stream.shutdown(Shutdown::Write)?;
                    std::io::copy(&mut stream, &mut std::io::sink())?;
                }
            }
            ["serve", count] => {
                for _ in 0..count.parse()? {
                    let (mut stream, _) = self.listener.as_ref().ok_or("no listener")?.accept()?;
                    std::io::copy(&mut stream, &mut std::io::sink())?;
                }
            }
            // The number of the error that connect() ends with; 0: none.
            ["try", addr] => {
                let result = TcpStream::connect(addr.parse::<SocketAddr>()?);
                return Ok(result
                    .err()
                    .and_then(|error| error.raw_os_error())
                    .unwrap_or(0)
                    .to_string());
            }
            // Connects and does not wait.
            ["start", name, addr] => {
                let addr: SocketAddr = addr.parse()?;
                let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
                socket.set_nonblocking(true)?;
                let started = socket.connect(&addr.into());
                if started.is_err_and(|error| error.raw_os_error() != Some(IN_PROGRESS)) {
                    return Err("connect() did not start".into());
                }
                return self.keep(name, socket.into());
            }
            // How that ended, as `try` tells it; or how the connection ends, once it does.
            ["outcome" | "error", name] => {
                let stream = self.named(name)?;
                let flags = if words[0] == "error" { PollFlags::empty() } else { PollFlags::OUT };
                poll(&mut [PollFd::new(stream, flags)], None)?;
                let error = stream.take_error()?.and_then(|error| error.raw_os_error());
                return Ok(error.unwrap_or(0).to_string());
            }
            // One that is given up soon.
            ["knock", addr] => {
                let patience = std::time::Duration::from_millis(100);
                let error = TcpStream::connect_timeout(&addr.parse()?, patience).err();
                return Ok(error.map_or(String::new(), |error| format!("{:?}", error.kind())));
            }
            // A datagram that nobody takes.
            ["datagram", addr] => {
                let local = if addr.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
                std::net::UdpSocket::bind(local)?.send_to(b"x", addr)?;
            }
            // A SYN whose checksum is wrong.
            ["forge", addr] => {
                let addr: SocketAddr = addr.parse()?;
                let mut syn = [0; 20];
                syn[1] = 7;
                syn[2..4].copy_from_slice(&addr.port().to_be_bytes());
                (syn[12], syn[13]) = (5 << 4, 2);
                let (domain, tcp) = (Domain::for_address(addr), socket2::Protocol::TCP);
                socket2::Socket::new(domain, Type::RAW, Some(tcp))?
                    .send_to(&syn, &SocketAddr::new(addr.ip(), 0).into())?;
            }
            // Sends nothing more.
            ["shutdown", name] => self.named(name)?.shutdown(std::net::Shutdown::Write)?,
            // Its end will be a RST.
            ["linger", name] => {
                let zero = std::time::Duration::ZERO;
                SockRef::from(self.named(name)?).set_linger(Some(zero))?;
            }
            ["patience", name, ms] => {
                let patience = std::time::Duration::from_millis(ms.parse()?);
                SockRef::from(self.named(name)?).set_tcp_user_timeout(Some(patience))?;
            }
            ["cc", name] => self.cc = Some((*name).to_owned()),
            ["close", name] => drop(self.connections.remove(*name)),
            ["unlisten"] => self.listener = None,
            ["chown", name, uid] => {
                rustix::fs::fchown(
                    self.named(name)?.as_fd(),
                    Some(rustix::fs::Uid::from_raw(uid.parse()?)),
                    None,
                )?;
            }
            ["at", path] => self.control = (*path).to_owned(),
            ["fork", name @ ..] => {
                let inherited: OwnedFd = match name.first() {
                    Some(name) => self.named(name)?.try_clone()?.into(),
                    None => self.listener.as_ref().ok_or("no listener")?.try_clone()?.into(),
                };
                let mut child =
                    command(Command::new(std::env::current_exe()?), Path::new(&self.control));
                self.children.push(child.stdin(inherited).stdout(Stdio::null()).spawn()?);
            }
            _ => return Err(format!("what is {words:?}?").into()),
        }
        Ok(String::new())
    }

    fn set_cc(&self, socket: SockRef<'_>) -> std::io::Result<()> {
        self.cc.as_ref().map_or(Ok(()), |cc| socket.set_tcp_congestion(cc.as_bytes()))
    }

    fn named(&self, name: &str) -> Result<&TcpStream, String> {
        self.connections.get(name).ok_or_else(|| format!("no connection {name}"))
    }

    fn keep(
        &mut self,
        name: &str,
        stream: TcpStream,
    ) -> Result<String, Box<dyn std::error::Error>> {
        stream.set_nodelay(true)?;
        let cookie = sockopt::socket_cookie(&stream)?;
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&stream));
        let ino = std::fs::metadata(link)?.ino();
        let text = format!("{cookie} {ino} {}", stream.local_addr()?);
        self.connections.insert(name.to_owned(), stream);
        Ok(text)
    }
}
