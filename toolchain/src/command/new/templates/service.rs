//! A box that runs by itself: it says something once a second.

use pearwood::{config, log, ports};

pearwood::service!(run);

const SECOND: u64 = 1_000_000_000;

/// Returns only to end the box: when another instance has taken this one's place.
fn run() {
    let greeting = config::get("greeting").unwrap_or_else(|| "Hello".into());
    let mut next = 0;
    while !ports::retiring() {
        // the only call that sleeps
        let now = ports::wait(next).now;
        if now >= next {
            log::info(format_args!("{greeting} after {} s", now / SECOND));
            next = now + SECOND;
        }
    }
}
