//! A box begins and ends, and its peers learn of it.

use super::Port;
use core::sync::atomic::Ordering::Relaxed;
use wit::Peer;

impl Port {
    /// The box starts: it and its peers that are up learn of each other.
    pub fn attach(&self) {
        let mut peers = self.peers.lock();
        peers.forget_gone();
        self.inbox.lock().clear();
        self.up.store(true, Relaxed);
        for (number, service) in peers.services() {
            self.tell(Peer::Attach(number, &service.attach()));
            service.renew();
        }
        drop(peers);
        for arrow in self.arrows() {
            if self.far(&arrow).port.is_up() {
                arrow.introduce();
                if arrow.half(self.end).retiring.load(Relaxed) {
                    self.tell(Peer::Retire(arrow.half(self.end).number));
                }
            }
        }
    }

    /// The box has ended: what waits for it is dropped, and its peers are told why.
    pub fn detach(&self, why: &str) {
        if !self.up.swap(false, Relaxed) {
            return;
        }
        self.inbox.lock().clear();
        self.peers.lock().services().for_each(|(_, service)| service.detach());
        for arrow in self.arrows() {
            let far = self.far(&arrow);
            if far.port.is_up() {
                far.port.tell(Peer::Detach(far.number, why.as_bytes()));
            }
            far.unblock();
            if let Some(meter) = &arrow.meter {
                meter.ended(self.end);
            }
        }
    }

    /// Takes all arrows away: the box is no more.
    pub fn unlink(&self, why: &str) {
        self.up.store(false, Relaxed);
        self.inbox.lock().clear();
        self.peers.lock().services().for_each(|(_, service)| service.detach());
        self.arrows().iter().for_each(|arrow| arrow.unlink(why));
    }
}
