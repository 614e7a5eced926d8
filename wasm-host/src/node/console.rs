//! The operator's line: commands typed on the console. Whoever holds the console holds the machine.

use super::{
    Node,
    history::{self, Deployed},
    status,
};
use crate::platform::Power;
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::task::Poll;

/// Longer lines are cut.
const MAX_LINE: usize = 256;

const HELP: &str = "commands: status, system, history, logs BOX, restart BOX, poweroff, reboot";

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

fn obey(node: &Node, line: &str) -> String {
    let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
    let argument = argument.trim();
    match command {
        "status" => format!("status {}", status::json(node)),
        "system" => node.source(),
        "history" => history(node),
        "logs" => with_box(node, argument, |handle| {
            let lines = handle.log();
            let lines =
                lines.iter().map(|line| crate::boxes::log::console_line(line.at, argument, line.level, &line.text));
            lines.collect::<String>().trim_end().to_string()
        }),
        "restart" => with_box(node, argument, |handle| {
            handle.restart("by the operator");
            format!("restarting {argument}")
        }),
        "poweroff" => node.platform.power(Power::Off),
        "reboot" => node.platform.power(Power::Reboot),
        _ => format!("`{command}` is no command; {HELP}"),
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

fn with_box(node: &Node, name: &str, act: impl FnOnce(&crate::boxes::BoxHandle) -> String) -> String {
    match node.find(name) {
        Some(handle) => act(&handle),
        None => {
            let running = node.running();
            let names: Vec<&str> = running.boxes.iter().map(|handle| &*handle.name).collect();
            format!("there is no box `{name}`; there are {}", names.join(", "))
        }
    }
}
