//! A node as a child process, and its console.

use super::console::Console;
use super::ports::Protocol;
use super::process;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How often the process is asked whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// How long the program may take to find fault with its arguments.
const START: Duration = Duration::from_secs(10);

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It turned itself off.
    Off,
    /// It was told to start again.
    Reboot,
    /// It reset itself: the CPU gave up.
    Reset,
    /// The kernel failed, and said why on the console.
    Failed,
    /// The process was killed, or failed itself.
    Broken(ExitStatus),
}

/// A node that runs. Dropped, it is killed.
pub struct Node {
    child: Mutex<Child>,
    input: Mutex<Option<ChildStdin>>,
    console: Console,
    /// What the program itself complains about.
    complaints: Arc<Mutex<String>>,
    forwards: Vec<(Protocol, u16, u16)>,
    end: fn(ExitStatus) -> End,
    /// Dropped, it ends the thread that the child is bound to.
    _alive: mpsc::Sender<()>,
}

impl Node {
    /// Starts it; `end` tells what its exit status means.
    pub(super) fn spawn(
        mut command: Command,
        forwards: Vec<(Protocol, u16, u16)>,
        log: Option<&Path>,
        echo: bool,
        end: fn(ExitStatus) -> End,
    ) -> Result<Self> {
        let log = log.map(|path| File::create(path).with_context(|| format!("cannot create {}", path.display())));
        let log = log.transpose()?;
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let console = Console::default();
        let (sender, receiver) = mpsc::channel();
        let (alive, dropped) = mpsc::channel::<()>();
        let heard = console.clone();
        // the thread that reads the console also starts the child, which is bound to it
        thread::spawn(move || match process::spawn_bound(&mut command) {
            Err(error) => {
                let _ = sender.send(Err(error));
            }
            Ok(mut child) => {
                let output = child.stdout.take();
                let _ = sender.send(Ok(child));
                drop(sender);
                if let Some(output) = output {
                    listen(output, &heard, log, echo);
                }
                heard.close();
                // the child's life is bound to this thread's, and it may close its console before it ends
                let _ = dropped.recv();
            }
        });
        let started = receiver.recv().map_err(|_| anyhow!("the thread that starts `{program}` has died"))?;
        let mut child = started.with_context(|| format!("cannot start `{program}`"))?;
        let complaints = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, complaints.clone());
        }
        let input = Mutex::new(child.stdin.take());
        Ok(Node { child: Mutex::new(child), input, console, complaints, forwards, end, _alive: alive })
    }

    /// The port of this machine that leads to a TCP port of the node.
    ///
    /// # Panics
    /// If none was asked for.
    pub fn port(&self, guest: u16) -> u16 {
        let forward = self.forwards.iter().find(|(protocol, _, port)| (*protocol, *port) == (Protocol::Tcp, guest));
        forward.map(|(_, host, _)| *host).unwrap_or_else(|| panic!("port {guest} of the node is not forwarded"))
    }

    /// Protocol, port of this machine, port of the node.
    pub fn forwards(&self) -> &[(Protocol, u16, u16)] {
        &self.forwards
    }

    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Types a line on the console.
    pub fn type_line(&self, line: &str) -> Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let input = input.as_mut().context("the node has no console")?;
        input.write_all(format!("{line}\n").as_bytes()).context("the node no longer reads its console")?;
        input.flush().context("the node no longer reads its console")
    }

    /// Asks the node for its status.
    pub fn status(&self, patience: Duration) -> Result<serde_json::Value> {
        let position = self.console.position();
        self.type_line("status")?;
        let line = self.console.wait_from(position, "the status", |line| line.starts_with("status {"), patience)?;
        serde_json::from_str(line.trim_start_matches("status ")).context("the status is not JSON")
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<End> {
        self.child().try_wait().ok().flatten().map(self.end)
    }

    /// Waits for the end.
    pub fn wait(&self, patience: Duration) -> Result<End> {
        let end = Instant::now() + patience;
        loop {
            if let Some(end) = self.ended() {
                return Ok(end);
            }
            if Instant::now() >= end {
                bail!("the node has not ended in time; its console ends with:\n{}", self.console.end());
            }
            thread::sleep(POLL);
        }
    }

    /// Asks the node to turn itself off, and kills it if it does not in time.
    pub fn power_off(&self, patience: Duration) -> Result<End> {
        // one that has just ended reads no console
        let _ = self.type_line("poweroff");
        self.wait(patience).inspect_err(|_| self.kill())
    }

    pub fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A program has found no fault with its arguments once the node writes, or once it has had time to.
    pub(super) fn wait_until_running(&self) -> Result<()> {
        let end = Instant::now() + START;
        while self.console.position() == 0 && Instant::now() < end {
            if let Some(end) = self.ended() {
                let End::Broken(status) = end else { return Ok(()) };
                let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
                bail!("it ended ({status}): {}", complaints.trim());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listen(mut output: impl Read, console: &Console, mut log: Option<File>, echo: bool) {
    let mut buffer = [0; 4096];
    loop {
        let bytes = match output.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => &buffer[..n],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if let Some(log) = &mut log {
            let _ = log.write_all(bytes);
        }
        if echo {
            let mut stdout = io::stdout().lock();
            let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
        }
        console.write(bytes);
    }
}

fn collect(mut source: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(n @ 1..) = source.read(&mut buffer) {
            let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
            if text.len() < 64 << 10 {
                text.push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        }
    });
}
