//! `pearwood logs`

use super::system_path;
use anyhow::{Context, Result, bail};
use clap::Args;
use manage::{LogLines, Request, Response};
use pearwood::build;
use pearwood::remote::{MaybeAt, Remote, is_refusal};
use pearwood::workspace::Workspace;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use wasm_host::stamp::Stamp;

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);

#[derive(Args)]
pub struct Logs {
    /// Only what this box says
    name: Option<String>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// The system's folder or file; without, the one that ran last
    #[arg(short, long)]
    system: Option<PathBuf>,
    #[command(flatten)]
    at: MaybeAt,
}

impl Logs {
    pub fn run(self) -> Result<ExitCode> {
        if let Some(at) = self.at.named().filter(|_| self.system.is_none()) {
            return of_node(at.connect()?, self.name, self.follow);
        }
        let workspace = Workspace::find()?;
        let path = match self.system {
            Some(system) => {
                let name = build::parse(&system_path(Some(system))?)?.name;
                workspace.run_directory(&name)?.join("console.log")
            }
            None => latest(&workspace.target.join("pearwood"))?,
        };
        print(&path, self.name.as_deref(), self.follow, &mut std::io::stdout().lock())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What the boxes of a node say.
fn of_node(mut remote: Remote, name: Option<String>, follow: bool) -> Result<ExitCode> {
    let request = Request::Logs { name: name.as_deref(), follow };
    // by box, the number of the next line
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let mut id = remote.send(&request)?;
    loop {
        let (text, more) = match remote.follow(id) {
            Ok(Response::More(text)) => (text, true),
            Ok(Response::Text(text)) => (text, false),
            Ok(_) => bail!("node {}: the answer is of another kind", remote.node),
            Err(error) if !follow || is_refusal(&error) => return Err(error),
            Err(error) => {
                // another control box may have taken the place of the one that we asked
                thread::sleep(POLL);
                let refused = |again| if is_refusal(&again) { again } else { error };
                remote = remote.again().map_err(refused)?;
                id = remote.send(&request)?;
                continue;
            }
        };
        let mut boxes: Vec<LogLines> = serde_json::from_str(&text)?;
        for LogLines { name, lines } in &mut boxes {
            let next = next.entry(name.clone()).or_default();
            lines.retain(|line| line.number >= *next);
            *next = lines.last().map_or(*next, |last| last.number + 1);
        }
        write_lines(&boxes, &mut std::io::stdout().lock())?;
        if !more {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// In the order of time, as on the console.
fn write_lines(boxes: &[LogLines], output: &mut impl Write) -> Result<()> {
    let mut lines: Vec<_> =
        boxes.iter().flat_map(|of| of.lines.iter().map(|line| (line.at, line.number, &of.name, line))).collect();
    lines.sort_by_key(|(at, number, ..)| (*at, *number));
    for (at, _, name, line) in lines {
        let level = match line.level.as_str() {
            "info" => String::new(),
            level => format!("{level}: "),
        };
        let stamp = Stamp { at, time: line.time };
        writeln!(output, "[{stamp}] {name}: {level}{}", line.text)?;
    }
    output.flush()?;
    Ok(())
}

/// The console that was written to last.
fn latest(directory: &Path) -> Result<PathBuf> {
    let runs = directory.read_dir().map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let logs = runs.iter().filter_map(|run| {
        let log = run.path().join("console.log");
        Some((fs::metadata(&log).ok()?.modified().ok()?, log))
    });
    match logs.max() {
        Some((_, log)) => Ok(log),
        None => bail!("no system has run yet"),
    }
}

fn print(path: &Path, name: Option<&str>, follow: bool, output: &mut impl Write) -> Result<()> {
    let open = || File::open(path).with_context(|| format!("cannot open {}", path.display()));
    let mut log = BufReader::new(open()?);
    let mut line = Vec::new();
    loop {
        let n = log.read_until(b'\n', &mut line)?;
        if line.ends_with(b"\n") || (n == 0 && !follow && !line.is_empty()) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if name.is_none_or(|name| says(text, name)) {
                writeln!(output, "{text}")?;
            }
            line.clear();
        } else if n == 0 {
            if !follow {
                return Ok(());
            }
            thread::sleep(POLL);
            if fs::metadata(path).is_ok_and(|now| now.len() < log.stream_position().unwrap_or(0)) {
                // the system was started again
                log = BufReader::new(open()?);
                line.clear();
            }
        }
    }
}

/// Whether a line is the box's: `[2026-11-30 10:32:01.123456] name: message`, or `[    1.234567] name: message`.
fn says(line: &str, name: &str) -> bool {
    let Some((_, said)) = line.strip_prefix('[').and_then(|line| line.split_once("] ")) else { return false };
    said.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_picked_and_the_last_one_needs_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        fs::write(&path, "kernel 0.1.0\n[    0.1] net: up\r\n[    0.2] http: one\n[    0.3] http: two").unwrap();
        let picked = |name| {
            let mut output = Vec::new();
            print(&path, name, false, &mut output).unwrap();
            String::from_utf8(output).unwrap()
        };
        assert_eq!(picked(Some("http")), "[    0.2] http: one\n[    0.3] http: two\n");
        assert_eq!(picked(Some("net")), "[    0.1] net: up\n");
        assert_eq!(picked(None).lines().count(), 4);
    }

    #[test]
    fn whose_line_it_is() {
        assert!(says("[    1.234567] http: GET /", "http"));
        assert!(says("[2026-11-30 10:32:01.123456] http: GET /", "http"));
        for other in ["[    1.234567] https: x", "[    1.2] net: http: x", "http: x", "[ 1.2] http", ""] {
            assert!(!says(other, "http"), "{other}");
        }
    }
}
