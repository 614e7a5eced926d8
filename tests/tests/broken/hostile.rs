//! What no honest client sends, to a node that serves: nobody gets in by it, and those who are in notice nothing.

use super::{ANNA, Bench, key};
use control::Client;
use manage::{Request, Response};
use std::{io::Write, net::TcpStream, thread, time::Duration};
use tests::{client::Raw, session::Session};

/// Connections that say nothing, or nothing of use.
const CROWD: usize = 100;

pub fn nobody_gets_in(bench: &mut Bench) {
    let address = &*bench.address.clone();
    // a good session, of which every byte is known to the attacker
    let mut good = Session::enter(address, &key(ANNA), [20; 32]).expect("anna may come in");
    assert_eq!(good.ask(&Request::Restart { name: "late" }), Ok(Response::Done));
    let recorded = good.spoken.clone();
    drop(good);
    let restarts = |bench: &mut Bench| {
        let status = bench.session.describe();
        let boxes = status["boxes"].as_array().expect("boxes").iter();
        boxes.map(|one| one["restarts"].as_u64().expect("a number")).sum::<u64>()
    };
    while restarts(bench) == 0 {
        thread::yield_now();
    }
    let hello = Client::new([21; 32]).expect("a handshake").take_output();
    let after_hello = recorded[hello.len()..].to_vec();
    let flipped = |at: usize| {
        let mut bytes = recorded.clone();
        bytes[at] ^= 4;
        bytes
    };
    let long = [&[0xff, 0xff][..], &[7; 0xffff]].concat();
    for bytes in [
        recorded.clone(),
        flipped(1),
        flipped(5),
        flipped(hello.len() + 9),
        [&hello[..], &after_hello].concat(),
        [&hello[..], &hello].concat(),
        [&hello[..], &long].concat(),
        long.clone(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    ] {
        // the answer to a handshake, and no more
        let heard = Raw::connect(address).say(&bytes).hear_all();
        assert!(heard.len() <= 2 + 128, "{} bytes were answered", heard.len());
    }
    let mut crowd = Vec::new();
    for index in 0..CROWD {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        let _ = stream.write_all(&recorded[..index % hello.len()]);
        crowd.push(stream);
        if index % 20 == 0 {
            bench.session.describe();
        }
    }
    drop(crowd);
    assert_eq!(restarts(bench), 1, "nothing was obeyed twice");
    // somebody at an address where much has failed has to wait, and gets in
    let enters = || Session::try_enter(address, &key(ANNA), [22; 32]);
    while enters().is_none() {
        thread::sleep(Duration::from_secs(1));
    }
}
