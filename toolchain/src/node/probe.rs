//! Whether an HTTP server answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks until an HTTP server answers at a port of this machine, with whatever status; true if one did before
/// `give_up` said to.
pub fn first_answer(port: u16, give_up: impl Fn() -> bool) -> bool {
    while !give_up() {
        let asked = Instant::now();
        if answers(port) {
            return true;
        }
        thread::sleep(PAUSE.saturating_sub(asked.elapsed()));
    }
    false
}

/// QEMU accepts connections before the node does, so only an answer counts.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: pearwood\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/")
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_answer_counts_and_a_mere_connection_does_not() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            // the first is closed without a word
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 16];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
            request
        });
        assert!(first_answer(port, || false));
        assert!(server.join().unwrap().starts_with(b"HEAD / HTTP/1.1"));
        assert!(!first_answer(port, || true));
    }
}
