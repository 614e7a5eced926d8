//! What is no plan is not run, and whatever bytes come, reading them is quick, and bounded in memory.

use super::{grant::*, *};
use crate::{
    allocations::{begin_peak, peak},
    arrows::{Kinds, channel::MAX_PORTS},
};
use alloc::{format, string::ToString, vec};
use core::mem::swap;

/// A card, a disk, and four boxes with every kind of arrow.
fn sound() -> Plan {
    let protocol = |name: &str| Declared { name: name.into(), kinds: Kinds { asks: 2, ..Kinds::default() } };
    let port = |interface: &str, side, protocol| PortPlan { interface: interface.into(), side, protocol };
    let arrow = |client: (u16, u8), service, grant| ArrowPlan {
        client: PortOf { place: client.0, port: client.1 },
        service,
        attach: vec![1, 2],
        grant,
    };
    let to = |place, port| Service::Port(PortOf { place, port });
    let device = |name: &str| Service::Device(name.into());
    let net = BoxPlan {
        run: Run::Service,
        ports: vec![
            port("pearwood:hardware/nic@0.2.0", End::Client, 2),
            port("pearwood:net/tcp@0.2.0", End::Service, 0),
        ],
        ..BoxPlan::new("net", "net")
    };
    let http = BoxPlan {
        run: Run::Service,
        ports: vec![
            port("pearwood:net/tcp@0.2.0", End::Client, 0),
            port("pearwood:http/handler@0.2.0", End::Client, 1),
            port("pearwood:control/node@0.2.0", End::Client, 4),
        ],
        config: vec![("a".into(), "b".into())],
        ..BoxPlan::new("http", "http")
    };
    let site = BoxPlan {
        run: Run::Handler("wasi:http/incoming-handler@0.2.6".into()),
        ports: vec![port("wasi:http/incoming-handler@0.2.6", End::Service, 1)],
        calls: vec![CallPlan {
            interface: "acme:store/api@0.2.0".into(),
            callee: 3,
            export: "acme:store/api@0.1.2".into(),
            functions: vec![5],
            words: vec![("keys.0".into(), "a".into())],
        }],
        nobody: vec!["wasi:http/outgoing-handler".into()],
        lent: vec!["pearwood:hardware/crypto@0.2.0".into()],
        ..BoxPlan::new("site", "./site")
    };
    let store = BoxPlan {
        ports: vec![port("pearwood:hardware/block@0.2.0", End::Client, 3)],
        exports: vec![ExportPlan { interface: "acme:store/api@0.1.2".into(), functions: vec![1, 5, 9] }],
        hands_over: true,
        ..BoxPlan::new("store", "./store")
    };
    let connect = ["*.example.org:443", "10.0.0.0/8:*", "[2001:db8::/32]:1-2"];
    let tcp = NetGrant {
        listen: vec![Ports::parse("80").unwrap(), Ports::parse("8000-8010").unwrap()],
        connect: connect.iter().map(|text| Remote::parse(text).unwrap()).collect(),
    };
    let block = BlockGrant { sectors: Sectors::parse("2048-9999").unwrap(), read_only: false };
    Plan {
        system: "test".into(),
        version: 3,
        disk: Some(SystemDisk { device: "disk1".into(), reserve: 128 << 20 }),
        volumes: vec![VolumePlan { name: "guestbook".into(), disk: "disk2".into(), size: 3 << 20 }],
        trust: Some(vec![crate::image::SecretKey::from_seed(&[1; 32]).public()]),
        protocols: vec![
            protocol("pearwood:net/tcp@0.2"),
            protocol("pearwood:http/handler@0.2"),
            protocol("pearwood:hardware/nic@0.2"),
            protocol("pearwood:hardware/block@0.2"),
            protocol("pearwood:control/node@0.2"),
        ],
        boxes: vec![net, http, site, store],
        arrows: vec![
            arrow((0, 0), device("nic0"), Grant::None),
            arrow((1, 0), to(0, 1), Grant::Net(tcp)),
            arrow((1, 1), to(2, 0), Grant::Said("example.org/a".into())),
            arrow((3, 0), device("disk0"), Grant::Block(block)),
            arrow((1, 2), Service::Node, Grant::Control { upload: 64 << 20 }),
            arrow((3, 0), Service::Volume(0), Grant::Block(BlockGrant::default())),
        ],
    }
}

#[test]
fn a_plan_is_read_as_it_was_written() {
    let plan = sound();
    let bytes = plan.encode();
    assert_eq!(Plan::decode(&bytes), Ok(plan.clone()));
    assert!(bytes.len() < 1_000, "{}", bytes.len());
    assert!(plan.is_same(&Plan { version: 9, ..plan.clone() }));
    assert!(!plan.is_same(&Plan { system: "other".into(), ..plan.clone() }));
    assert_eq!(plan.devices_of(3).map(|(name, _)| name).collect::<Vec<_>>(), ["disk0"]);
    let volumes: Vec<_> = plan.volumes_of(3).map(|(volume, read_only)| (volume.name.as_str(), read_only)).collect();
    assert_eq!(volumes, [("guestbook", false)]);
    assert_eq!((plan.is_called(3), plan.is_called(2)), (true, false));
    assert_eq!(plan.controlling().unwrap().name, "http");
}

#[test]
fn what_is_no_plan() {
    let bytes = sound().encode();
    for length in 0..bytes.len() {
        assert_eq!(Plan::decode(&bytes[..length]), Err(PlanError::Malformed), "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Plan::decode(&longer), Err(PlanError::Malformed));
    let newer = [&[9, 0], &bytes[2..]].concat();
    assert_eq!(Plan::decode(&newer), Err(PlanError::Format(9)));
    let huge = vec![0; MAX_BYTES + 1];
    assert_eq!(Plan::decode(&huge), Err(PlanError::TooLarge { bytes: MAX_BYTES + 1 }));
}

/// Each invariant, by a change that breaks it alone.
#[test]
fn what_is_not_sound_is_named() {
    type Edit = fn(&mut Plan);
    let faults: &[(&str, Edit)] = &[
        ("the system's name is no label", |p| p.system = "Test".into()),
        ("0 boxes", |p| p.boxes.clear()),
        ("the system's disk", |p| p.disk.as_mut().unwrap().reserve = 5),
        ("the system's disk", |p| p.disk.as_mut().unwrap().device = "/dev/sda".into()),
        ("0 trusted keys", |p| p.trust = Some(vec![])),
        ("volume `a b`", |p| p.volumes[0].name = "a b".into()),
        ("volume `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`", |p| p.volumes[0].name = "a".repeat(37)),
        ("volume `guestbook`", |p| p.volumes[0].disk = "/dev/sda".into()),
        ("volume `guestbook`", |p| p.volumes[0].size = (1 << 20) + 512),
        ("volume `guestbook`", |p| p.volumes[0].size = 0),
        ("volume `guestbook`", |p| double(&mut p.volumes)),
        ("129 volumes", |p| p.volumes = vec![p.volumes[0].clone(); 129]),
        ("arrow 5, of box `store`: it leads to a volume that is not there", |p| {
            p.arrows[5].service = Service::Volume(1)
        }),
        ("arrow 5, of box `store`: its grant does not belong", |p| p.arrows[5].grant = Grant::None),
        ("arrow 5, of box `store`: it grants sectors of a volume", |p| {
            p.arrows[5].grant = Grant::Block(BlockGrant { sectors: Sectors::parse("0-7").unwrap(), read_only: true });
        }),
        ("volume `guestbook` is granted twice", |p| double(&mut p.arrows)),
        ("protocol `x`", |p| p.protocols[0].name = "x".into()),
        ("protocol `pearwood:net/tcp@0.2`", |p| p.protocols[3].name = "pearwood:net/tcp@0.2".into()),
        ("the name of box 1 is no label", |p| p.boxes[1].name = "a b".into()),
        ("two boxes are named `net`", |p| p.boxes[1].name = "net".into()),
        ("box `net`: its component", |p| p.boxes[0].component.clear()),
        ("box `net`: its component", |p| p.boxes[0].component[0] = "a\nb".into()),
        ("box `net`: its memory", |p| p.boxes[0].memory = 1),
        ("box `net`: its memory", |p| p.boxes[0].memory = u64::MAX),
        ("box `net`: its share of the CPU", |p| p.boxes[0].cpu = 0),
        ("box `net`: its queue", |p| p.boxes[0].queue = u32::MAX),
        ("box `net`: its concurrency", |p| p.boxes[0].concurrency = 0),
        ("box `net`: its restart", |p| p.boxes[0].restart.min = Duration::ZERO),
        ("box `net`: its restart", |p| p.boxes[0].restart.max = Duration::MAX),
        ("box `http`: its config", |p| p.boxes[1].config.push(("a".into(), "c".into()))),
        ("box `site`: what it asks nobody for", |p| p.boxes[2].nobody[0].clear()),
        ("box `site`: what the node lends it", |p| p.boxes[2].lent[0] = "pearwood:hardware/nic@0.2.0".into()),
        ("box `net`: it has too many ports", |p| {
            let port = p.boxes[0].ports[1].clone();
            p.boxes[0].ports.resize(MAX_PORTS + 1, port);
        }),
        ("box `net`: a port of no protocol", |p| p.boxes[0].ports[0].protocol = 5),
        ("box `net`: a port of no interface", |p| p.boxes[0].ports[0].interface = "tcp".into()),
        ("box `http`: two ports of one protocol", |p| p.boxes[1].ports[0].protocol = 1),
        ("box `net`: a client's port comes after", |p| p.boxes[0].ports.reverse()),
        ("box `site`: it handles requests of no port", |p| p.boxes[2].run = Run::Handler("a:b/c".into())),
        ("box `net`: functions of an export are not sorted", |p| {
            p.boxes[0].exports = vec![ExportPlan { interface: "a:b/c".into(), functions: vec![2, 1] }];
        }),
        ("box `store`: its exports", |p| double(&mut p.boxes[3].exports)),
        ("box `site`: two calls of one interface", |p| double(&mut p.boxes[2].calls)),
        ("box `site`: it calls no box", |p| p.boxes[2].calls[0].callee = 4),
        ("box `site`: it calls itself", |p| p.boxes[2].calls[0].callee = 2),
        ("box `site`: it calls what is not exported", |p| p.boxes[2].calls[0].callee = 1),
        ("box `site`: it calls functions that are not exported so", |p| p.boxes[2].calls[0].functions.push(2)),
        ("box `site`: it says too much to a box that it calls", |p| {
            p.boxes[2].calls[0].words[0].1 = "a".repeat(MAX_ATTACH);
        }),
        ("several boxes have the power", |p| p.arrows.push(p.arrows[4].clone())),
        ("box `site` waits for a box that waits for it", |p| {
            let export = ExportPlan { interface: "a:b/c".into(), functions: vec![] };
            p.boxes[2].exports.push(export);
            let (interface, export) = ("a:b/c".into(), "a:b/c".into());
            p.boxes[3].calls.push(CallPlan { interface, callee: 2, export, functions: vec![], words: vec![] });
        }),
        ("arrow 1, of box ``: it joins a port that is not there", |p| p.arrows[1].client.place = 9),
        ("arrow 1, of box `http`: it joins a port that is not there", |p| p.arrows[1].client.port = 3),
        ("arrow 1, of box `http`: it joins a port that is not there", |p| {
            p.arrows[1].service = Service::Port(PortOf { place: 4, port: 0 });
        }),
        ("arrow 2, of box `site`: it begins at a service", |p| p.arrows[2].client = PortOf { place: 2, port: 0 }),
        ("arrow 1, of box `http`: it joins ports that do not fit", |p| {
            p.arrows[1].service = Service::Port(PortOf { place: 2, port: 0 });
        }),
        ("arrow 1, of box `http`: it joins ports that do not fit", |p| {
            p.arrows[1].service = Service::Port(PortOf { place: 0, port: 0 });
        }),
        ("arrow 2, of box `site`: it leads back to its own box", |p| {
            let port = PortPlan { side: End::Client, ..p.boxes[2].ports[0].clone() };
            p.boxes[2].ports.insert(0, port);
            p.arrows[2].client = PortOf { place: 2, port: 0 };
            p.arrows[2].service = Service::Port(PortOf { place: 2, port: 1 });
        }),
        ("arrow 1, of box `http`: its attach is too long", |p| p.arrows[1].attach = vec![0; MAX_ATTACH + 1]),
        ("arrow 1, of box `http`: its grant does not belong", |p| {
            p.arrows[1].grant = Grant::Block(BlockGrant::default())
        }),
        ("arrow 0, of box `net`: its grant does not belong", |p| p.arrows[0].grant = Grant::Net(NetGrant::default())),
        ("arrow 0, of box `net`: its device", |p| p.arrows[0].service = Service::Device(String::new())),
        ("device `nic0` is granted twice", |p| p.arrows[3] = p.arrows[0].clone()),
        ("arrow 1, of box `http`: its grant", |p| net_of(p).listen[0].first = 0),
        ("arrow 1, of box `http`: its grant", |p| net_of(p).listen[1].first = 8_011),
        ("arrow 1, of box `http`: its grant", |p| net_of(p).connect[0].host = Host::Below("A.org".into())),
        ("arrow 1, of box `http`: its grant", |p| net_of(p).connect[0].host = Host::Name("a b".into())),
        ("arrow 1, of box `http`: its grant", |p| {
            net_of(p).connect[0].host = Host::Network { address: 1.into(), prefix: 127 };
        }),
        ("arrow 1, of box `http`: its grant", |p| {
            net_of(p).connect[0].host = Host::Network { address: 0.into(), prefix: 129 };
        }),
        ("arrow 2, of box `http`: its grant", |p| {
            p.arrows[2].grant = Grant::Said("a\nb".into());
        }),
        ("arrow 4, of box `http`: its grant", |p| p.arrows[4].grant = Grant::Control { upload: u64::MAX }),
        ("arrow 4, of box `http`: its grant does not belong", |p| p.arrows[4].grant = Grant::None),
        ("arrow 4, of box `http`: it leads to the node, which", |p| p.arrows[4].client.port = 1),
        ("arrow 3, of box `store`: its grant", |p| sectors_of(p).last = Some(1)),
        ("arrow 3, of box `store`: its grant", |p| sectors_of(p).first = u64::MAX),
    ];
    for (index, (why, edit)) in faults.iter().enumerate() {
        let mut plan = sound();
        edit(&mut plan);
        let error = Plan::decode(&plan.encode()).expect_err(why).to_string();
        assert!(error.starts_with(&format!("the plan is not sound: {why}")), "{index}, {why}: {error}");
    }
    // sectors: any overlap, unless all only read
    for (first, read_only, other_read_only, sound_) in [
        ("9999-10000", false, false, false),
        ("9999-*", true, false, false),
        ("0-2048", false, true, false),
        ("0-2048", true, true, true),
        ("10000-*", false, false, true),
    ] {
        let mut plan = sound();
        plan.arrows.push(plan.arrows[3].clone());
        let sectors = Sectors::parse(first).unwrap();
        plan.arrows[6].grant = Grant::Block(BlockGrant { sectors, read_only });
        if let Grant::Block(grant) = &mut plan.arrows[3].grant {
            grant.read_only = other_read_only;
        }
        let read = Plan::decode(&plan.encode());
        assert_eq!(read.is_ok(), sound_, "{first}");
        assert!(read.is_ok() || read.unwrap_err().to_string().contains("sectors of `disk0` are granted twice"));
    }
    let mut many = sound();
    let one = many.boxes[3].clone();
    many.boxes.extend((0..MAX_BOXES).map(|i| BoxPlan { name: format!("b{i}"), ..one.clone() }));
    assert!(Plan::decode(&many.encode()).unwrap_err().to_string().contains("4100 boxes"));
}

fn double<T: Clone>(all: &mut Vec<T>) {
    all.push(all[all.len() - 1].clone());
}

fn net_of(plan: &mut Plan) -> &mut NetGrant {
    match &mut plan.arrows[1].grant {
        Grant::Net(net) => net,
        other => panic!("{other:?}"),
    }
}

fn sectors_of(plan: &mut Plan) -> &mut Sectors {
    match &mut plan.arrows[3].grant {
        Grant::Block(grant) => &mut grant.sectors,
        other => panic!("{other:?}"),
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }

    fn number(&mut self) -> u64 {
        let number = [0, 1, 2, 3, 63, 64, 65, 1 << 16, 1 << 20, 1 << 32, u64::MAX - 1, u64::MAX][self.below(12)];
        if self.below(2) == 0 { number } else { self.below(6) as u64 }
    }

    fn text(&mut self) -> String {
        ["", "a", "net", "Net", "a:b/c", "a:b/c@0.2.0", "pearwood:net/tcp@0.2", "\0", "é", "disk0"][self.below(10)]
            .into()
    }

    fn one<'a, T>(&mut self, all: &'a mut [T]) -> Option<&'a mut T> {
        let at = self.below(all.len());
        all.get_mut(at)
    }
}

/// Takes one out, doubles one, or swaps two.
fn shuffle<T: Clone>(random: &mut Random, all: &mut Vec<T>) {
    let (a, b) = (random.below(all.len()), random.below(all.len()));
    match random.below(3) {
        _ if all.is_empty() => {}
        0 => drop(all.remove(a)),
        1 => all.insert(b, all[a].clone()),
        _ => all.swap(a, b),
    }
}

/// One change somewhere in a plan.
fn mutate(random: &mut Random, plan: &mut Plan) {
    let (number, text) = (random.number(), random.text());
    match random.below(14) {
        0 => plan.system = text,
        1 => plan.version = number,
        2 => shuffle(random, &mut plan.boxes),
        3 => shuffle(random, &mut plan.arrows),
        4 => shuffle(random, &mut plan.protocols),
        5 => plan.disk = Some(SystemDisk { device: text, reserve: number }),
        6 => {
            if let Some(protocol) = random.one(&mut plan.protocols) {
                protocol.name = text;
            }
        }
        7..10 => {
            let Some(spec) = random.one(&mut plan.boxes) else { return };
            match random.below(16) {
                0 => spec.name = text,
                1 => shuffle(random, &mut spec.component),
                2 => spec.memory = number,
                3 => spec.cpu = number as u32,
                4 => spec.queue = number as u32,
                5 => spec.concurrency = number as u32,
                6 => swap(&mut spec.restart.min, &mut spec.restart.max),
                7 => spec.config.push((text, String::new())),
                8 => spec.run = Run::Handler(text),
                9 => shuffle(random, &mut spec.ports),
                10 => shuffle(random, &mut spec.calls),
                11 => shuffle(random, &mut spec.exports),
                12 => spec.instance = number,
                13 => {
                    if let Some(port) = random.one(&mut spec.ports) {
                        *port = PortPlan { interface: text, side: port.side.other(), protocol: number as u16 };
                    }
                }
                14 => {
                    if let Some(call) = random.one(&mut spec.calls) {
                        call.callee = number as u16;
                    }
                }
                _ => {
                    if let Some(export) = random.one(&mut spec.exports) {
                        shuffle(random, &mut export.functions);
                    }
                }
            }
        }
        _ => {
            let Some(arrow) = random.one(&mut plan.arrows) else { return };
            let at = PortOf { place: number as u16, port: random.number() as u8 };
            match random.below(7) {
                0 => arrow.client = at,
                1 => arrow.service = Service::Port(at),
                2 => arrow.service = Service::Device(text),
                3 => arrow.attach.resize(random.below(5_000), 0),
                4 => {
                    arrow.grant =
                        Grant::Block(BlockGrant { sectors: Sectors { first: number, last: None }, read_only: false })
                }
                5 => (arrow.service, arrow.grant) = (Service::Node, Grant::Control { upload: number }),
                _ => arrow.grant = Grant::Said(text),
            }
        }
    }
}

/// All that the node asks of a plan.
fn use_all(plan: &Plan) {
    for (place, spec) in plan.boxes.iter().enumerate() {
        assert_eq!(plan.position(&spec.name), Some(place));
        assert!(!plan.is_called(place) || plan.boxes.iter().any(|other| !other.calls.is_empty()));
        plan.devices_of(place).for_each(drop);
        assert!(plan.upload_of(place).is_none() || plan.controlling() == Some(spec));
        spec.ports.iter().for_each(|port| assert!(!plan.protocol_of(port).path().is_empty()));
    }
    for arrow in &plan.arrows {
        assert_eq!(plan.port(arrow.client).unwrap().side, End::Client);
    }
}

/// `PEARWOOD_FUZZ` says how many cases; 20,000 without.
#[test]
fn whatever_comes_is_refused_or_can_be_run() {
    let cases = std::env::var("PEARWOOD_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let mut random = Random(11);
    let (mut taken, mut unsound) = (0, 0);
    for case in 0..cases {
        let mut plan = sound();
        (0..random.below(4)).for_each(|_| mutate(&mut random, &mut plan));
        let mut bytes = plan.encode();
        if random.below(2) == 0 {
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                match random.below(4) {
                    0 => bytes.truncate(at.max(2)),
                    1 => bytes.splice(at..at, [0xff; 9]).for_each(drop),
                    2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                    _ => bytes[at] = bytes[at].wrapping_add(1),
                }
            }
        }
        let before = begin_peak();
        let read = Plan::decode(&bytes);
        let most = peak(before);
        // what a length claims is taken on trust as far as there are bytes for it: one for each element, at the least
        let bound = bytes.len() * (size_of::<BoxPlan>() + size_of::<ArrowPlan>() + 64) + (8 << 10);
        assert!(most <= bound, "case {case}: {most} bytes for {}", bytes.len());
        match read {
            Ok(read) => {
                use_all(&read);
                assert_eq!(Plan::decode(&read.encode()), Ok(read), "case {case}");
                taken += 1;
            }
            Err(PlanError::Unsound(why)) => {
                assert!(!why.is_empty());
                unsound += 1;
            }
            Err(_) => {}
        }
    }
    assert!(taken > cases / 10 && unsound > cases / 10, "{taken} taken, {unsound} not sound");
}
