//! The box: [`Echo`] between its arrows.

use crate::{Echo, Misdeed, Outside, Wake};
use core::hint::black_box;
use sdk::bindings::pearwood::http::handler;
use sdk::ports::{self, Notices};

sdk::service!(run);

fn run() {
    let mut echo = Echo::new();
    let mut arrows = Arrows { port: handler::service(&[]) };
    loop {
        let ports::Turn { wake, received, .. } = ports::wait_and_receive(echo.deadline());
        if wake.notices.contains(Notices::RETIRE) {
            echo.retire();
        }
        let room = wake.notices.contains(Notices::ROOM);
        echo.turn(Wake { now: wake.now, handler: &received, room }, &mut arrows);
        if echo.is_done() {
            return;
        }
    }
}

struct Arrows {
    port: u32,
}

impl Outside for Arrows {
    fn send(&mut self, peer: u32, batch: &[u8]) -> bool {
        ports::send(self.port, peer, batch)
    }

    fn misdeed(&mut self, misdeed: Misdeed) {
        match misdeed {
            Misdeed::Trap => core::arch::wasm32::unreachable(),
            Misdeed::Loop => {
                let mut count = 0u64;
                loop {
                    count = black_box(count.wrapping_add(1));
                }
            }
            Misdeed::Eat => {
                let mut eaten = Vec::new();
                loop {
                    eaten.push(black_box(vec![0xa5u8; 64 << 10]));
                }
            }
            Misdeed::BadBatch(peer) => {
                ports::send(self.port, peer, b"no batch");
            }
        }
    }
}
