//! What the box says of itself in figures, for whoever manages the node: `pearwood figures`, the console, `/metrics`.
//!
//! ```ignore
//! let mut pace = figures::Pace::default();
//! pace.start();
//! // … in the loop, when something has changed:
//! pace.changed(now);
//! if pace.take(now) {
//!     figures::report(vec![Figure::gauge("accounts", accounts.len()), Figure::counter("logins", logins).of("outcome", "ok")]);
//! }
//! ```

use crate::bindings::pearwood::box0_2_0::figures::{self, Figure as Sent, Value as Sort};
use crate::log;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub use wit::figures::{Figure, Pace, Report, Value};

/// Reports all figures of the box, in place of those of before. What is wrong with them is logged, once until some are taken again, and
/// those of before stay.
pub fn report(figures: Vec<Figure>) {
    static REFUSED: AtomicBool = AtomicBool::new(false);
    let result = try_report(figures);
    let was_refused = REFUSED.swap(result.is_err(), Relaxed);
    if let Err(why) = result
        && !was_refused
    {
        log::warn(format_args!("the figures are not taken: {why}"));
    }
}

/// # Errors
/// As `pearwood:box/figures` says.
pub fn try_report(figures: Vec<Figure>) -> Result<(), String> {
    let figures: Vec<Sent> = figures.into_iter().map(sent).collect();
    figures::report(&figures)
}

fn sent(Figure { name, labels, value }: Figure) -> Sent {
    let labels = labels.into_iter().map(|(name, value)| (name.into(), value)).collect();
    let value = match value {
        Value::Counter(count) => Sort::Counter(count),
        Value::Gauge(number) => Sort::Gauge(number),
        Value::Moment(seconds) => Sort::Moment(seconds),
        Value::Text(text) => Sort::Text(text),
    };
    Sent { name: name.into(), labels, value }
}
