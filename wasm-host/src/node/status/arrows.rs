//! The figures of arrows, each from the box that uses to the one that is used.

use crate::{
    arrows::{
        channel::End,
        measure::{Meter, Traffic, quantile},
    },
    boxes::BoxHandle,
};
use alloc::{string::String, vec::Vec};
use core::sync::atomic::Ordering::Relaxed;
use serde::Serialize;

/// All counts begin with the arrow: another box in the place of one has new arrows.
#[derive(Serialize)]
pub struct ArrowStatus {
    from: String,
    to: String,
    /// as the client imports it
    interface: String,
    /// requests, lookups, calls; none of a network
    requests: Option<u64>,
    /// those of them that are under way, 256 at most
    under_way: Option<u64>,
    /// connections that were opened, of `pearwood:net/tcp`
    connections: Option<u64>,
    /// see [`Meter::errors`]
    errors: u64,
    /// from the client
    sent: Directed,
    /// from the service
    received: Directed,
    latency: Option<Latency>,
}

#[derive(Serialize)]
struct Directed {
    batches: u64,
    records: u64,
    bytes: u64,
    /// how often the other's queue was full
    full: u64,
}

/// Nanoseconds, from a request to the end of its answer.
#[derive(Serialize)]
struct Latency {
    count: u64,
    sum: u64,
    p50: Option<u64>,
    p99: Option<u64>,
    /// what all in one are shorter than, and how many they are; the lower bound is at least 4/5 of it
    buckets: Vec<(u64, u64)>,
}

/// The arrows by which a box uses others.
pub fn of_box(handle: &BoxHandle) -> Vec<ArrowStatus> {
    let mut all = Vec::new();
    for port in handle.ports.iter().filter(|port| port.end() == End::Client) {
        for arrow in port.arrows() {
            if let Some(meter) = arrow.meter() {
                all.push(figures(&handle.name, arrow.port(End::Service).owner(), port.interface(), meter));
            }
        }
    }
    let calls = handle.calls().iter();
    all.extend(calls.map(|called| figures(&handle.name, &called.to, &called.interface, &called.meter)));
    all
}

fn figures(from: &str, to: &str, interface: &str, meter: &Meter) -> ArrowStatus {
    ArrowStatus {
        from: from.into(),
        to: to.into(),
        interface: interface.split('@').next().unwrap_or(interface).into(),
        requests: meter.requests(),
        under_way: meter.under_way(),
        connections: meter.connections(),
        errors: meter.errors(),
        sent: directed(meter.traffic(End::Client)),
        received: directed(meter.traffic(End::Service)),
        latency: meter.latency().map(|latency| {
            let buckets = latency.buckets();
            Latency {
                count: buckets.iter().map(|(_, count)| count).sum(),
                sum: latency.sum(),
                p50: quantile(&buckets, 500),
                p99: quantile(&buckets, 990),
                buckets,
            }
        }),
    }
}

fn directed(traffic: &Traffic) -> Directed {
    Directed {
        batches: traffic.batches.load(Relaxed),
        records: traffic.records.load(Relaxed),
        bytes: traffic.bytes.load(Relaxed),
        full: traffic.full.load(Relaxed),
    }
}
