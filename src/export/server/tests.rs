use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use super::*;

fn status(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// A loop that hangs is reported, while the server's own thread goes on.
#[test]
fn a_loop_that_hands_over_nothing_is_not_healthy() {
    let bound = Bound::new("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = bound.address().unwrap();
    let server = bound.serve().unwrap();
    assert_eq!(status(address, "/"), "200");
    thread::scope(|scope| {
        let paths = [HEALTH, PATH].map(|path| scope.spawn(move || status(address, path)));
        for answer in paths {
            assert_eq!(answer.join().unwrap(), "503");
        }
    });
    assert!(server.take_wanted(), "neither has requested a snapshot");
}
