//! The operator's line: commands typed on the console. Whoever holds the console holds the machine.

use super::{
    Answer, Node,
    history::{self, Deployed},
    status,
};
use crate::{boxes::BoxHandle, platform::Power};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::task::Poll;
use manage::{Request, Response, Settings};

/// Longer lines are cut.
const MAX_LINE: usize = 256;

/// A longer description has no figures of boxes.
const LONGEST: usize = 256 << 10;

const HELP: &str = "commands: status, ps, system, volumes, history, rollback, confirm, logs BOX, restart BOX, stop BOX, start BOX, poweroff, reboot";

/// Answers what the operator types, for ever.
pub async fn serve(node: Arc<Node>) {
    let mut typed = Vec::new();
    loop {
        let line = next_line(&node, &mut typed).await;
        if !line.is_empty() {
            let answer = obey(&node, &line);
            node.platform.write_console(&(answer + "\n"));
        }
    }
}

async fn next_line(node: &Node, typed: &mut Vec<u8>) -> String {
    core::future::poll_fn(|cx| {
        node.platform.set_console_waker(cx.waker());
        node.platform.read_console(typed);
        match typed.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            Some(end) => {
                let line = String::from_utf8_lossy(&typed[..end]).trim().to_string();
                typed.drain(..=end);
                Poll::Ready(line)
            }
            None => {
                typed.truncate(MAX_LINE);
                Poll::Pending
            }
        }
    })
    .await
}

fn obey(node: &Arc<Node>, line: &str) -> String {
    let (command, name) = line.split_once(' ').unwrap_or((line, ""));
    let name = name.trim();
    let (request, done) = match command {
        "status" => return format!("status {}", status::json(node, LONGEST)),
        "history" => return history(node),
        "ps" => return ps(node),
        "volumes" => return volumes(node),
        "logs" => return logs(node, name),
        "system" => (Request::System, String::new()),
        "restart" => (Request::Restart { name }, format!("restarting {name}")),
        "stop" => (Request::Stop { name }, format!("stopping {name}")),
        "start" => (Request::Start { name }, format!("starting {name}")),
        // whoever types here needs no network to do something about it
        "rollback" => (Request::RollBack(Settings { confirm: 0, ..Settings::default() }), String::new()),
        "confirm" => (
            Request::Confirm { number: None, since: u64::MAX, other: true },
            String::from("the deployment is confirmed"),
        ),
        // nobody waits for an answer here
        "poweroff" => node.platform.power(Power::Off),
        "reboot" => node.platform.power(Power::Reboot),
        _ => return format!("`{command}` is no command; {HELP}"),
    };
    let Answer::Now(response) = node.answer("the operator", "", &mut None, &request, LONGEST) else { return done };
    match response {
        Response::Done => done,
        Response::Number(number) => format!("deployment {number} has begun; `history` says how it goes"),
        Response::Text(text) | Response::Refused(text) => text,
        other => format!("{other:?}"),
    }
}

/// What was deployed, a line for each.
fn history(node: &Node) -> String {
    let line = |one: Deployed| {
        let what = if one.changes.is_empty() { String::from("no box") } else { one.changes.join("; ") };
        format!("deployment {} by {}: {what}: {}", one.number, one.by, one.text)
    };
    let lines: Vec<String> = history::history(node).into_iter().map(line).collect();
    if lines.is_empty() { String::from("nothing was deployed since the start") } else { lines.join("\n") }
}

/// The boxes, a line for each.
fn ps(node: &Node) -> String {
    let line = |handle: &Arc<BoxHandle>| {
        let (life, name) = (handle.life(), &handle.name);
        let (used, most) = (handle.memory() >> 10, handle.spec.memory >> 10);
        let reason = life.reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or_default();
        let phase = format!("{:?}", life.phase).to_lowercase();
        format!("{name:<16} {phase:<9} {used:>7} of {most} KiB, {} restarts {reason}", life.restarts).trim_end().into()
    };
    let lines: Vec<String> = node.running().boxes.iter().map(line).collect();
    lines.join("\n")
}

/// What is on the disks, a line for each.
fn volumes(node: &Node) -> String {
    let volumes = super::volumes::volumes(node).into_iter().map(|it| it.to_string());
    let lines: Vec<String> = super::volumes::disks(node).into_iter().map(|it| it.to_string()).chain(volumes).collect();
    if lines.is_empty() { String::from("there is no disk") } else { lines.join("\n") }
}

fn logs(node: &Node, name: &str) -> String {
    let lines = match node.managed(name) {
        Ok(handle) => handle.log(),
        Err(why) => return why,
    };
    let lines = lines.iter().map(|line| line.of(name));
    lines.collect::<String>().trim_end().to_string()
}
