//! Long steps show that they are alive: a spinner with the time and the tool's last line on a terminal, a line every
//! few seconds elsewhere.

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How often a step says that it goes on where nobody sees a spinner.
const REPORT: Duration = Duration::from_secs(10);

/// How many lines of a failed tool's output are shown.
const SHOWN: usize = 200;

/// A step under way. Dropped without [`Step::done`] it is reported as failed.
pub struct Step {
    what: String,
    started: Instant,
    last_line: Arc<Mutex<String>>,
    shown_by: Display,
    finished: bool,
}

enum Display {
    Terminal(ProgressBar),
    /// Dropping the sender ends the thread that reports.
    Lines {
        _stop: mpsc::Sender<()>,
    },
}

impl Step {
    pub fn start(what: impl Into<String>) -> Self {
        let what = what.into();
        let last_line = Arc::new(Mutex::new(String::new()));
        let started = Instant::now();
        let shown_by = if std::io::stderr().is_terminal() {
            Display::Terminal(spinner(&what))
        } else {
            eprintln!("{what} ...");
            let (stop, stopped) = mpsc::channel();
            let (what, last_line) = (what.clone(), last_line.clone());
            thread::spawn(move || {
                while stopped.recv_timeout(REPORT) == Err(RecvTimeoutError::Timeout) {
                    let line = last_line.lock().map(|line| line.clone()).unwrap_or_default();
                    eprintln!("{what}: {} s so far; {line}", started.elapsed().as_secs());
                }
            });
            Display::Lines { _stop: stop }
        };
        Step { what, started, last_line, shown_by, finished: false }
    }

    /// Shows what the step is at.
    pub fn at(&self, line: &str) {
        self.reporter().at(line);
    }

    fn reporter(&self) -> Reporter {
        let bar = match &self.shown_by {
            Display::Terminal(bar) => Some(bar.clone()),
            Display::Lines { .. } => None,
        };
        Reporter { last_line: self.last_line.clone(), bar }
    }

    pub fn done(mut self) {
        self.finish("✓", "done in");
    }

    fn finish(&mut self, mark: &str, word: &str) {
        self.finished = true;
        let seconds = self.started.elapsed().as_secs_f32();
        match &self.shown_by {
            Display::Terminal(bar) => {
                bar.finish_and_clear();
                eprintln!("{mark} {} ({seconds:.1} s)", self.what);
            }
            Display::Lines { .. } => eprintln!("{}: {word} {seconds:.1} s", self.what),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.finish("✗", "failed after");
        }
    }
}

fn spinner(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix} ({elapsed}) {wide_msg:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style).with_prefix(what.to_string());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Where the threads that read a tool's output say what it is at.
#[derive(Clone)]
struct Reporter {
    last_line: Arc<Mutex<String>>,
    bar: Option<ProgressBar>,
}

impl Reporter {
    fn at(&self, line: &str) {
        let line = plain(line);
        if line.trim().is_empty() {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_message(line.trim().to_string());
        }
        if let Ok(mut last_line) = self.last_line.lock() {
            *last_line = line.trim().to_string();
        }
    }
}

/// A line without terminal escape sequences and other control characters.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        if c == '\x1b' {
            // CSI sequences end with a letter
            for c in characters.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else if !c.is_control() {
            plain.push(c);
        }
    }
    plain
}

/// What a tool that ended well has written.
pub struct Output {
    pub stdout: String,
    pub stderr: String,
}

/// Runs a tool as a step of that name. If the tool fails, the error has the end of what it wrote.
pub fn run(what: &str, command: &mut Command) -> Result<Output> {
    let step = Step::start(what);
    let output = run_within(&step, command)?;
    step.done();
    Ok(output)
}

/// Runs a tool as a part of a step.
pub fn run_within(step: &Step, command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))?;
    let stdout = follow(child.stdout.take(), step.reporter());
    let stderr = follow(child.stderr.take(), step.reporter());
    let status = child.wait().with_context(|| format!("cannot wait for `{program}`"))?;
    let output = Output { stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() };
    if status.success() {
        return Ok(output);
    }
    let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    bail!("`{program}` failed ({status})\n{end}");
}

/// Reads to the end, and shows each line on the way.
fn follow(source: Option<impl Read + Send + 'static>, reporter: Reporter) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        let Some(source) = source else { return text };
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while source.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let shown = String::from_utf8_lossy(&line);
            // cargo's messages for programs are no news for people
            if !shown.starts_with('{') {
                reporter.at(&shown);
            }
            text.push_str(&shown);
            line.clear();
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_run_and_heard() {
        let output = run("test", Command::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    }

    #[test]
    fn a_failure_tells_what_the_tool_said() {
        let error = run("test", Command::new("sh").args(["-c", "echo why >&2; exit 3"])).err().unwrap().to_string();
        assert!(error.contains("why") && error.contains("`sh`"), "{error}");
        let error = run("test", &mut Command::new("/nonexistent/tool")).err().unwrap().to_string();
        assert!(error.contains("/nonexistent/tool"), "{error}");
    }

    #[test]
    fn escapes_are_not_shown() {
        assert_eq!(plain("\x1b[1m\x1b[32m  Compiling\x1b[0m a\r"), "  Compiling a");
    }
}
