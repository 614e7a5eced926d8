//! Load: wrk.

use crate::client::run;
use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

/// What wrk counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    pub requests: u64,
    /// connections that failed, reads and writes that did, answers that did not come in time
    pub errors: u64,
    /// answers other than 2xx and 3xx
    pub refused: u64,
}

/// wrk, running. It does not outlive a test that failed.
pub struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut wrk) = self.0.take() {
            let _ = wrk.kill().and_then(|()| wrk.wait());
        }
    }
}

fn command(url: &str, connections: u32, time: Duration) -> Command {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--connections", &connections.to_string()]).args([
        "--duration",
        &format!("{}s", time.as_secs()),
        "--timeout",
        "60s",
        url,
    ]);
    command
}

/// Runs wrk for a time.
pub fn wrk(url: &str, connections: u32, time: Duration) -> Load {
    read(&run(&mut command(url, connections, time)).stdout)
}

/// Starts wrk, for what is to happen under load.
pub fn start(url: &str, connections: u32, time: Duration) -> Running {
    let child = command(url, connections, time).stdout(Stdio::piped()).spawn();
    Running(Some(child.expect("wrk")))
}

impl Running {
    /// Ends it before its time.
    pub fn stop(self) -> Load {
        let wrk = self.0.as_ref().expect("it runs");
        run(Command::new("kill").args(["-INT", &wrk.id().to_string()]));
        self.end()
    }

    pub fn end(mut self) -> Load {
        let output = self.0.take().expect("it runs").wait_with_output().expect("wrk");
        assert!(output.status.success(), "wrk ended with {}", output.status);
        read(&output.stdout)
    }
}

fn read(output: &[u8]) -> Load {
    let text = String::from_utf8_lossy(output);
    let mut load = Load::default();
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|_| panic!("no number: {text:?}"));
    for line in text.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            load.requests = number(count);
        } else if let Some(errors) = line.strip_prefix("Socket errors: ") {
            eprintln!("wrk: {line}");
            load.errors = errors.split(", ").filter_map(|error| error.split_once(' ')).map(|(_, n)| number(n)).sum();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            load.refused = number(count);
        }
    }
    assert!(text.contains(" requests in "), "wrk said {text}");
    load
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says() {
        let text = b"Running 1s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  900 requests in 1.00s, 1.1MB read\n  \
            Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\nRequests/sec:    900.00\n";
        assert_eq!(read(text), Load { requests: 900, errors: 10, refused: 5 });
    }
}
