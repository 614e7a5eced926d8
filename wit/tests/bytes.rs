//! The bytes of some records, by hand: what boxes that are compiled already say and understand.

use core::net::Ipv6Addr;
use pearwood_wit::{Batch, List, Malformed, Record, Records, batch::MAX_RECORD, block, http, names, nic, tcp, udp};

const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x1234);
const OCTETS: [u8; 16] = [0, 0, 0, 0, 0xb8, 0x0d, 0x01, 0x20, 0x34, 0x12, 0, 0, 0, 0, 0, 0];
const ENDPOINT: tcp::Endpoint = tcp::Endpoint { address: ADDRESS, port: 443 };

/// One record: kind, id, and the rest in parts.
fn record(kind: u8, id: u32, parts: &[&[u8]]) -> Vec<u8> {
    let bytes = parts.concat();
    let mut out = (bytes.len() as u32).to_le_bytes().to_vec();
    out[3] = kind;
    out.extend(id.to_le_bytes());
    out.extend(bytes);
    out
}

macro_rules! same {
    ($type:ty: $($value:expr => $bytes:expr),* $(,)?) => {$(
        let mut batch = Batch::new();
        $value.encode(&mut batch);
        assert_eq!(batch.as_bytes(), $bytes, "{:?}", $value);
        assert_eq!(<$type>::decode(&batch.records().next().unwrap().unwrap()), Ok($value));
    )*};
}

#[test]
fn tcp_and_udp() {
    same!(tcp::Command:
        tcp::Command::Listen { port: 80, backlog: 0x0102 } => record(1, 80, &[&[2, 1]]),
        tcp::Command::Unlisten { port: 80 } => record(2, 80, &[]),
        tcp::Command::Connect { ticket: 9, to: ENDPOINT } => record(3, 9, &[&OCTETS, &[0xbb, 1]]),
        tcp::Command::Send { connection: 5, data: b"hello" } => record(4, 5, &[&[5, 0, 0, 0], b"hello"]),
        tcp::Command::Credit { connection: 5, bytes: 256 } => record(5, 5, &[&[0, 1, 0, 0]]),
        tcp::Command::Finish { connection: 5 } => record(6, 5, &[]),
        tcp::Command::Abort { connection: u32::MAX } => record(7, u32::MAX, &[]),
        tcp::Command::Dial { ticket: 9, port: 443, name: "a" } => record(8, 9, &[&[0xbb, 1, 1, 0, 0, 0], b"a"]),
    );
    let names = ["a", "*.b"];
    let secured = tcp::Secured { name: "a", protocol: "", client: b"xy", covers: None };
    let covering = tcp::Secured { covers: Some(List::from(&names)), ..secured };
    same!(tcp::Event:
        tcp::Event::Refused { id: 80, why: "no" } => record(2, 80, &[&[2, 0, 0, 0], b"no"]),
        tcp::Event::Accepted { connection: 3, remote: ENDPOINT, port: 80, secured: None }
            => record(3, 3, &[&OCTETS, &[0xbb, 1, 80, 0, 0]]),
        tcp::Event::Accepted { connection: 3, remote: ENDPOINT, port: 80, secured: Some(secured) }
            => record(3, 3, &[&OCTETS, &[0xbb, 1, 80, 0, 1], &[1, 0, 0, 0], b"a", &[0; 4], &[2, 0, 0, 0], b"xy", &[0]]),
        tcp::Event::Accepted { connection: 3, remote: ENDPOINT, port: 80, secured: Some(covering) }
            => record(3, 3, &[&OCTETS, &[0xbb, 1, 80, 0, 1], &[1, 0, 0, 0], b"a", &[0; 4], &[2, 0, 0, 0], b"xy",
                &[1, 2, 0, 0, 0, 1, 0, 0, 0], b"a", &[3, 0, 0, 0], b"*.b"]),
        tcp::Event::Closed { connection: 3, why: "" } => record(8, 3, &[&[0; 4]]),
        tcp::Event::Secures => record(9, 0, &[]),
        tcp::Event::Failed { ticket: 9, cause: tcp::Cause::Alert, alert: 40, why: "no" }
            => record(10, 9, &[&[7, 40, 2, 0, 0, 0], b"no"]),
    );
    same!(udp::Event:
        udp::Event::Datagram { port: 53, from: ENDPOINT, data: b"x" }
            => record(3, 53, &[&OCTETS, &[0xbb, 1], &[1, 0, 0, 0], b"x"]),
    );
}

#[test]
fn names_and_devices() {
    same!(names::Event:
        names::Event::Addresses { ticket: 4, addresses: List::from(&[ADDRESS, Ipv6Addr::UNSPECIFIED]) }
            => record(1, 4, &[&[2, 0, 0, 0], &OCTETS, &[0; 16]]),
    );
    same!(nic::Event:
        nic::Event::Frame { frame: b"frame" } => record(1, 0, &[b"frame"]),
        nic::Event::Shared { others: 1 } => record(2, 1, &[]),
    );
    same!(block::Event:
        block::Event::Failed { ticket: 4, error: block::Error::ReadOnly } => record(3, 4, &[&[3]]),
    );
    // Frames are not for any id: it is not looked at.
    assert_eq!(nic::Event::decode(&Record { kind: 1, id: 9, bytes: b"f" }), Ok(nic::Event::Frame { frame: b"f" }));
    assert_eq!(nic::Attach { address: 0x0200_0000_0001, mtu: 1500 }.encode(), [1, 0, 0, 0, 0, 2, 0, 0, 0xdc, 5]);
}

#[test]
fn http() {
    let head = http::Head {
        method: "GET",
        target: "/a",
        authority: b"b:1",
        remote: ADDRESS,
        headers: b"c: d\r\n",
        scheme: http::Scheme::Https,
        upgrade: "",
    };
    let packed: &[&[u8]] = &[
        &[3, 0, 0, 0],
        b"GET",
        &[2, 0, 0, 0],
        b"/a",
        &[3, 0, 0, 0],
        b"b:1",
        &OCTETS,
        &[6, 0, 0, 0],
        b"c: d\r\n",
        &[1],
        &[0; 4],
    ];
    same!(http::Command: http::Command::Request { request: 7, head } => record(1, 7, packed));
    same!(http::Event:
        http::Event::Response { request: 7, status: 404, headers: b"x" } => record(1, 7, &[&[0x94, 1, 1, 0, 0, 0], b"x"]),
    );
    let attach = http::Attach { host: "example.org", path: "/" };
    assert_eq!(attach.encode(), [&[11, 0, 0, 0], &b"example.org"[..], &[1, 0, 0, 0], b"/"].concat());
    assert_eq!(http::Attach::decode(&attach.encode()), Ok(attach));
    assert_eq!(http::Attach::decode(b""), Err(Malformed));
    assert_eq!(http::Attach::default().encode(), [0; 8]);
}

#[test]
fn what_has_another_form_is_malformed() {
    let bytes: [(u8, u32, &[u8]); 4] =
        [(1, 70_000, &[0, 0]), (1, 80, &[0]), (4, 1, &[2, 0, 0, 0, b'a']), (2, 1 << 16, &[])];
    for (kind, id, bytes) in bytes {
        assert_eq!(tcp::Command::decode(&Record { kind, id, bytes }), Err(Malformed), "kind {kind}");
    }
    for bytes in [&[1, 0, 0, 0, 0xff][..], &[2, 0, 0, 0, 0xc3, 0x28]] {
        assert_eq!(tcp::Event::decode(&Record { kind: 2, id: 1, bytes }), Err(Malformed), "UTF-8");
    }
    assert_eq!(block::Event::decode(&Record { kind: 3, id: 1, bytes: &[7] }), Err(Malformed), "an enum");
    // The option's byte, before what would be all of its record; and a bool.
    let mut accepted = [0; 33];
    for (byte, is_good) in [(0, true), (1, true), (2, false), (255, false)] {
        accepted[20] = byte;
        let read = tcp::Event::decode(&Record { kind: 3, id: 1, bytes: &accepted });
        assert_eq!(read.is_ok(), is_good, "an option of {byte}");
        let mut attach = block::Attach { sector_size: 512, sectors: 1, read_only: false, depth: 1, name: "" }.encode();
        attach[12] = byte;
        assert_eq!(block::Attach::decode(&attach).is_ok(), is_good, "a bool of {byte}");
    }
    for kind in [0, 11, 240, 255] {
        assert_eq!(tcp::Event::decode(&Record { kind, id: 1, bytes: b"" }), Ok(tcp::Event::Unknown { kind }));
    }
}

/// A record inside of an option at the end may have grown, too.
#[test]
fn what_an_earlier_service_says_of_a_secured_connection_is_understood() {
    let bytes = record(3, 3, &[&OCTETS, &[0xbb, 1, 80, 0, 1], &[1, 0, 0, 0], b"a", &[0; 4], &[0; 4]]);
    let event = tcp::Event::decode(&Records::new(&bytes).next().unwrap().unwrap());
    let Ok(tcp::Event::Accepted { secured: Some(secured), .. }) = event else { panic!("{event:?}") };
    assert_eq!((secured.name, secured.covers), ("a", None));
}

#[test]
fn kinds_have_names() {
    assert_eq!(tcp::Command::SEND, 4);
    assert_eq!(tcp::Command::NAMES[usize::from(tcp::Command::SEND) - 1], "send");
    assert_eq!(http::Event::NAMES, ["response", "body", "end", "credit", "failed", "trailers", "fault"]);
}

#[test]
#[should_panic(expected = "a record of 16777216 bytes")]
fn a_record_that_is_too_long_is_refused_whole() {
    tcp::Command::Send { connection: 1, data: &vec![0; MAX_RECORD - 3] }.encode(&mut Batch::new());
}
