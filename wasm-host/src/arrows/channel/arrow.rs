//! An arrow between two ports: made, changed and taken away while both boxes run.

use super::{End, Port};
use crate::{arrows::measure::Meter, executor::Bell, plan::grant::NetGrant};
use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use wit::Peer;

/// What joins a client's port and a service's. Both hold it until it is taken away.
pub struct Arrow {
    pub(super) client: Half,
    pub(super) service: Half,
    /// what `attach` says to the client
    attach: Vec<u8>,
    /// what the client may do
    pub(super) grant: Option<NetGrant>,
    /// what goes over it, unless nothing is measured
    pub(super) meter: Option<Arc<Meter>>,
    /// rings when it is taken away
    bell: Bell,
    gone: AtomicBool,
}

/// One end of an arrow.
pub(super) struct Half {
    pub port: Arc<Port>,
    /// the number by which this end's box knows the other
    pub number: u32,
    /// what this end sent found the other's inbox full; it raises `room` when it is taken
    pub blocked: AtomicBool,
    /// This end was told to `retire` the other.
    pub retiring: AtomicBool,
    /// ... and has nothing open with it.
    pub released: AtomicBool,
}

impl Arrow {
    /// Joins two ports. Boxes that are up learn of each other.
    pub fn join(client: &Arc<Port>, service: &Arc<Port>, attach: Vec<u8>, grant: Option<NetGrant>) -> Arc<Arrow> {
        Self::join_measured(client, service, attach, grant, None)
    }

    /// The same, and counts what goes over it.
    pub fn join_measured(
        client: &Arc<Port>,
        service: &Arc<Port>,
        attach: Vec<u8>,
        grant: Option<NetGrant>,
        meter: Option<Arc<Meter>>,
    ) -> Arc<Arrow> {
        let half = |port: &Arc<Port>| Half {
            port: port.clone(),
            number: port.reserve(),
            blocked: AtomicBool::new(false),
            retiring: AtomicBool::new(false),
            released: AtomicBool::new(false),
        };
        let arrow = Arc::new(Arrow {
            client: half(client),
            service: half(service),
            attach,
            grant,
            meter,
            bell: Bell::default(),
            gone: AtomicBool::new(false),
        });
        arrow.publish();
        if client.is_up() && service.is_up() {
            arrow.introduce();
        }
        arrow
    }

    fn publish(self: &Arc<Self>) {
        for end in [End::Client, End::Service] {
            let half = self.half(end);
            half.port.set(half.number, self.clone());
        }
    }

    /// Tells both boxes of each other.
    pub(super) fn introduce(&self) {
        for end in [End::Client, End::Service] {
            let half = self.half(end);
            half.blocked.store(false, Relaxed);
            half.released.store(false, Relaxed);
            half.port.tell(Peer::Attach(half.number, if end == End::Client { &self.attach } else { &[] }));
        }
    }

    pub(super) const fn half(&self, end: End) -> &Half {
        match end {
            End::Client => &self.client,
            End::Service => &self.service,
        }
    }

    pub fn port(&self, end: End) -> &Arc<Port> {
        &self.half(end).port
    }

    /// What has gone over it, unless nothing is measured.
    pub fn meter(&self) -> Option<&Meter> {
        self.meter.as_deref()
    }

    /// What `attach` says to the client.
    pub fn attach(&self) -> &[u8] {
        &self.attach
    }

    pub fn grant(&self) -> Option<&NetGrant> {
        self.grant.as_ref()
    }

    /// The same arrow with another grant. Neither box notices, until the client does what it may no longer do.
    pub fn with_grant(&self, grant: Option<NetGrant>) -> Arc<Arrow> {
        let same = |half: &Half| Half {
            port: half.port.clone(),
            number: half.number,
            blocked: AtomicBool::new(half.blocked.load(Relaxed)),
            retiring: AtomicBool::new(half.retiring.load(Relaxed)),
            released: AtomicBool::new(half.released.load(Relaxed)),
        };
        let arrow = Arc::new(Arrow {
            client: same(&self.client),
            service: same(&self.service),
            attach: self.attach.clone(),
            grant,
            meter: self.meter.clone(),
            bell: Bell::default(),
            gone: AtomicBool::new(false),
        });
        arrow.publish();
        arrow
    }

    /// Tells one end to begin nothing new with the other. When it has nothing open either, it may release the arrow.
    pub fn retire(&self, end: End) {
        let half = self.half(end);
        if !half.retiring.swap(true, Relaxed) && half.port.is_up() {
            half.port.tell(Peer::Retire(half.number));
        }
    }

    /// One end, which was told to retire the other, has nothing open with it. The arrow goes, unless the other end was
    /// told so too and is not done: what it has begun may be news to this one.
    pub(super) fn release(&self, end: End) {
        self.half(end).released.store(true, Relaxed);
        let other = self.half(end.other());
        if !other.retiring.load(Relaxed) || other.released.load(Relaxed) || !other.port.is_up() {
            self.unlink("it was replaced");
        }
    }

    /// Whether one end was told to `retire` the other.
    pub fn is_retiring(&self) -> bool {
        self.client.retiring.load(Relaxed) || self.service.retiring.load(Relaxed)
    }

    /// Whether it is still there.
    pub fn is_joined(&self) -> bool {
        !self.gone.load(Relaxed)
    }

    /// Rings when it is taken away.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Takes the arrow away. Boxes that are up are told why.
    pub fn unlink(&self, why: &str) {
        self.gone.store(true, Relaxed);
        for end in [End::Client, End::Service] {
            let half = self.half(end);
            half.port.remove(half.number, self, why);
            half.unblock();
        }
        if let Some(meter) = &self.meter {
            meter.ended(End::Service);
        }
        self.bell.ring();
    }
}

impl Half {
    /// What this end kept back can be sent, or is lost.
    #[inline]
    pub fn unblock(&self) {
        if self.blocked.load(Relaxed) && self.blocked.swap(false, Relaxed) {
            self.port.signal().raise(super::Ready::Room);
        }
    }
}
