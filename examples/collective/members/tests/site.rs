//! Accounts on a disk that fails and is cut off; the rest is the business of the whole system's test.

use members::{Account, Accounts, Site, Store, Today};
use pearwood::http::Exchanges;
use pearwood::wit::{
    self, Batch, Peer, Peers, Records,
    http::{Command, Event, Head, Scheme},
};
use std::{cell::RefCell, rc::Rc};

#[derive(Clone)]
struct Disk(Rc<RefCell<(Vec<u8>, bool)>>);

impl Disk {
    fn new(sectors: usize) -> Self {
        Disk(Rc::new(RefCell::new((vec![0; sectors * 512], false))))
    }
}

impl Store for Disk {
    fn sector_size(&self) -> usize {
        512
    }

    fn sectors(&self) -> u64 {
        self.0.borrow().0.len() as u64 / 512
    }

    fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>, String> {
        Ok(self.0.borrow().0[first as usize * 512..][..count as usize * 512].to_vec())
    }

    fn write(&mut self, at: u64, sector: &[u8]) -> Result<(), String> {
        let (bytes, fails) = &mut *self.0.borrow_mut();
        if *fails {
            return Err("the disk has failed to do it".into());
        }
        bytes[at as usize * 512..][..512].copy_from_slice(sector);
        Ok(())
    }
}

fn account(name: &str) -> Account {
    Account { name: name.into(), password: "$argon2id$…".into(), sessions: Vec::new() }
}

#[test]
fn what_was_stored_is_there_again_and_what_was_not_is_not() {
    let disk = Disk::new(300);
    let mut accounts = Accounts::load(disk.clone()).unwrap();
    for number in 0..200 {
        accounts.add(account(&format!("anna{number}"))).unwrap();
    }
    for session in 0..5 {
        accounts.begin_session("anna7", format!("{session:0>64}"), 10, 100).unwrap();
    }
    disk.0.borrow_mut().1 = true;
    assert!(accounts.add(account("vera")).is_err() && accounts.find("vera").is_none());
    assert!(accounts.end_session("anna7", &format!("{:0>64}", 4)).is_err());
    let mut again = Accounts::load(disk.clone()).unwrap();
    assert!(again.len() == 200 && again.find("anna199").is_some() && again.find("vera").is_none());
    let whose = |accounts: &Accounts<Disk>, session: u64, now| {
        accounts.of_session(&format!("{session:0>64}"), now).map(|account| account.name.clone())
    };
    assert_eq!(whose(&again, 4, 99).as_deref(), Some("anna7"));
    assert_eq!((whose(&again, 1, 99), whose(&again, 4, 100)), (None, None), "the oldest, and one that is over");
    disk.0.borrow_mut().1 = false;
    again.end_session("anna7", &format!("{:0>64}", 4)).unwrap();
    assert_eq!((whose(&again, 4, 99), whose(&again, 3, 99).as_deref()), (None, Some("anna7")));
}

#[test]
fn a_full_disk_and_a_foreign_one_say_so() {
    let disk = Disk::new(1);
    let mut accounts = Accounts::load(disk.clone()).unwrap();
    accounts.add(account("anna")).unwrap();
    assert!(!accounts.has_room());
    let long = Account { password: "x".repeat(600), ..account("anna") };
    assert!(Accounts::load(Disk::new(1)).unwrap().add(long).unwrap_err().contains("larger than a sector"));
    disk.0.borrow_mut().0[0] = b'?';
    assert!(Accounts::load(disk).err().unwrap().contains("sector 0 of the disk is no account"));
}

/// The status of the answer to what a browser sends from the site's own page, over TLS.
fn ask(site: &mut Site<Disk>, now: Option<u64>, method: &str, target: &str, cookie: &str, body: &str) -> u16 {
    let (mut peers, mut exchanges, mut batch) = (Peers::default(), Exchanges::new(1 << 10, 1 << 16), Batch::new());
    let headers = format!("origin: https://a.example\r\ncookie: {cookie}\r\n");
    let (remote, authority) = (std::net::Ipv6Addr::LOCALHOST, b"a.example".as_slice());
    let head =
        Head { method, target, authority, remote, headers: headers.as_bytes(), scheme: Scheme::Https, upgrade: "" };
    Peer::Is(1).encode(&mut batch);
    Command::Request { request: 1, head }.encode(&mut batch);
    Command::Body { request: 1, data: body.as_bytes() }.encode(&mut batch);
    Command::End { request: 1 }.encode(&mut batch);
    assert!(peers.attach(1, ()));
    wit::incoming(batch.as_bytes()).flatten().for_each(|incoming| exchanges.receive(&mut peers, incoming));
    let request = exchanges.take().expect("it is whole");
    let response = site.answer(&request, &mut Today { now, random: &mut || [7; 32] });
    exchanges.answer(&mut peers, request, response);
    let mut answered = 0;
    peers.flush(|_, batch| {
        for record in Records::new(batch).flatten() {
            if let Ok(Event::Response { status, .. }) = Event::decode(&record) {
                answered = status;
            }
        }
        true
    });
    answered
}

/// Where the node does not know the time, no session counts, and none begins: it might be over long ago.
#[test]
fn without_the_time_nobody_is_logged_in() {
    let mut site = Site::new(Accounts::load(Disk::new(10)).unwrap());
    let form = "name=anna&password=a-good-password";
    let [now, later] = [Some(1_000), Some(1_001)];
    for (now, path, status) in
        [(None, "/sign-up", 503), (None, "/log-in", 503), (now, "/sign-up", 303), (None, "/log-in", 503)]
    {
        assert_eq!(ask(&mut site, now, "POST", path, "", form), status, "{now:?} {path}");
    }
    let cookie = format!("__Host-session={}", "07".repeat(32));
    for (now, status) in [(later, 200), (None, 303), (later, 200)] {
        assert_eq!(ask(&mut site, now, "GET", "/members", &cookie, ""), status, "{now:?}");
    }
}
