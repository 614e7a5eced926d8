mod protocols;

use super::*;
use crate::system::description::{Case, Declaration, Field, Function, Interface, Type, shape};
use crate::system::given::find_given;
use crate::system::known::{NAMES, TCP as TCP_PATH, UDP};
use crate::system::routes::{CallRoute, DeviceRoute};
use crate::system::{
    Report,
    grant::{Grant, HttpGrant},
};
use alloc::{string::ToString, vec};

/// An interface with its functions' names and signatures.
fn interface(name: &str, functions: &[(&str, &str)]) -> Interface {
    let functions = functions.iter().map(|(name, signature)| Function {
        name: (*name).into(),
        signature: (*signature).into(),
        shape: shape(signature),
    });
    Interface { name: name.into(), functions: functions.collect(), types: Vec::new(), protocol: None }
}

/// A protocol of which the component is a client, a service or both: as `client` or `service` after the name.
fn protocol(name: &str, sides: &str) -> Interface {
    let side = |side: &str| sides.contains(side);
    let declared = Declaration { client: side("client"), service: side("service"), ..Declaration::default() };
    let functions = ["client", "service"].into_iter().filter(|function| side(function));
    let functions: Vec<_> = functions.map(|function| (function, "func(protocol: list<record { }>) -> u32")).collect();
    Interface { protocol: Some(declared), ..interface(name, &functions) }
}

/// One of the node's own interfaces, or a protocol if the name is followed by its side, or one with a single function.
fn known(name: &str) -> Interface {
    if let Some((name, sides)) = name.split_once(' ') {
        return protocol(name, sides);
    }
    match InterfaceName::parse(name).and_then(|name| find_given(&name)) {
        Some(given) => given.clone(),
        None => interface(name, &[("call", "func(a: u32) -> u32")]),
    }
}

fn describe(imports: &[&str], exports: &[&str]) -> Description {
    let all = |names: &[&str]| names.iter().map(|name| known(name)).collect();
    Description { imports: all(imports), exports: all(exports), ..Description::default() }
}

const NIC: &str = "pearwood:hardware/nic@0.2.0 client";
const CLIENT: &str = "pearwood:http/handler@0.2.0 client";
const SERVICE_OF: &str = "pearwood:http/handler@0.2.0 service";
const HANDLER_PATH: &str = known::HANDLER;

fn components() -> BTreeMap<String, Description> {
    let own = ["pearwood:box/ports", "pearwood:box/log"];
    let service = |imports: &[&str]| describe(&[&own, imports].concat(), &["pearwood:box/service@0.2.0"]);
    let components = [
        ("net", service(&[NIC, "pearwood:net/tcp@0.2.0 service", "pearwood:net/udp@0.2.0 service"])),
        ("http", service(&["pearwood:net/tcp@0.2.0 client", CLIENT])),
        ("site", service(&[SERVICE_OF, "pearwood:box/assets"])),
        ("tls", service(&["pearwood:net/tcp@0.2.0 client service"])),
        (
            "./wiki",
            describe(&["wasi:io/streams@0.2.6", "my:store/objects@1.1.0"], &["wasi:http/incoming-handler@0.2.6"]),
        ),
        ("./wiki3", describe(&["wasi:http/types@0.3.0"], &["wasi:http/handler@0.3.2"])),
        ("store", describe(&[], &["my:store/objects@1.4.2"])),
        ("keeper", service(&["pearwood:hardware/block@0.2.0 client"])),
        ("control", service(&["pearwood:control/node"])),
        ("caller", describe(&["my:store/objects@1.1.0"], &["my:store/objects@1.1.0"])),
    ];
    components.into_iter().map(|(name, description)| (name.into(), description)).collect()
}

fn parse(boxes: &str) -> System {
    let text = format!("[system]\nname = \"s\"\n{boxes}");
    System::parse("system.toml", &text).unwrap_or_else(|faults| panic!("{}", Report(&faults)))
}

fn routes(boxes: &str) -> Routes {
    check(&parse(boxes), &components()).unwrap_or_else(|faults| panic!("{}", Report(&faults)))
}

/// The one fault of a system.
fn fault_with(boxes: &str, components: &BTreeMap<String, Description>) -> Diagnostic {
    let mut faults = check(&parse(boxes), components).expect_err(boxes);
    assert_eq!(faults.len(), 1, "{}", Report(&faults));
    faults.remove(0)
}

fn fault(boxes: &str) -> Diagnostic {
    fault_with(boxes, &components())
}

const NET: &str = "[box.net]\ncomponent = \"net\"\narrows.\"pearwood:hardware/nic\" = { device = \"nic0\" }\n";
const SITE: &str = "[box.site]\ncomponent = \"site\"\n";
const STORE: &str = "[box.store]\ncomponent = \"store\"\n";

fn http(name: &str, tcp: &str, handler: &str) -> String {
    format!(
        "[box.{name}]\ncomponent = \"http\"\narrows.\"pearwood:net/tcp\" = {tcp}\narrows.\"pearwood:http/handler\" = {handler}\n"
    )
}

const TCP: &str = "{ box = \"net\", listen = [80] }";
const HANDLER: &str = "[{ box = \"site\" }]";

#[test]
fn a_website() {
    let wiki = "[box.wiki]\ncomponent = \"./wiki\"\narrows.\"my:store/objects\" = { box = \"store\" }\n";
    let wiki3 = "[box.wiki3]\ncomponent = \"./wiki3\"\n";
    let handlers = "[{ box = \"wiki\", path = \"/wiki/\" }, { box = \"site\" }, { box = \"wiki3\", host = \"w.org\" }]";
    let second = http("http2", "{ box = \"net\", listen = [81] }", "{ box = \"site\" }");
    let boxes = [&http("http", TCP, handlers), NET, SITE, wiki, wiki3, STORE, &second].concat();
    let routes = routes(&boxes);
    let [http, net, site, wiki, wiki3, store, http2] = &routes.boxes[..] else { panic!("{routes:?}") };
    assert!(routes.warnings.is_empty(), "{}", Report(&routes.warnings));
    assert_eq!((http.run, wiki.run), (Run::Service, Run::Called));
    let nic = net.client("pearwood:hardware/nic").unwrap();
    assert_eq!(nic.interface, "pearwood:hardware/nic@0.2.0");
    assert_eq!(nic.devices, [DeviceRoute { device: "nic0".into(), is_volume: false, sectors: None }]);

    let tcp = http.client(TCP_PATH).unwrap();
    assert_eq!(tcp.peers.len(), 1);
    assert_eq!((tcp.peers[0].box_index, tcp.peers[0].number), (1, 0));
    assert!(matches!(&tcp.peers[0].grant, Grant::Net(net) if net.listen[0].contains(80)));
    assert_eq!((http2.client(TCP_PATH).unwrap().peers[0].number), 1, "net's second client");
    assert!(net.service(UDP).unwrap().end.peers.is_empty());

    let handler = http.client(HANDLER_PATH).unwrap();
    let peers: Vec<(usize, &[u8])> = handler.peers.iter().map(|p| (p.box_index, &p.attach[..])).collect();
    let grant = |host: &str, path: &str| HttpGrant { host: host.into(), path: path.into() }.encode();
    assert_eq!(peers, [(3, &grant("", "/wiki/")[..]), (2, &grant("", "")), (4, &grant("w.org", ""))]);
    assert_eq!(site.service(HANDLER_PATH).unwrap().provider, Provider::Port);
    assert_eq!(site.service(HANDLER_PATH).unwrap().end.peers.len(), 2);
    let export = |routes: &BoxRoutes| routes.service(HANDLER_PATH).unwrap().provider.clone();
    assert_eq!(export(wiki), Provider::Export("wasi:http/incoming-handler@0.2.6".into()));
    assert_eq!(export(wiki3), Provider::Export("wasi:http/handler@0.3.2".into()));
    let call = CallRoute {
        interface: "my:store/objects@1.1.0".into(),
        box_index: 5,
        words: vec![],
        export: "my:store/objects@1.4.2".into(),
    };
    assert_eq!(wiki.calls, [call]);
    assert!(store.calls.is_empty() && store.services.is_empty());
}

#[test]
fn both_ends_of_an_arrow_number_each_other() {
    let handlers = "[{ box = \"site\", path = \"/a\" }, { box = \"site\", path = \"/b\" }]";
    let boxes =
        [NET, &http("x", TCP, HANDLER), SITE, &http("y", "{ box = \"net\", listen = [81] }", handlers)].concat();
    let routes = routes(&boxes);
    for (index, end) in routes.boxes.iter().enumerate().flat_map(|(i, b)| b.clients.iter().map(move |end| (i, end))) {
        for (number, peer) in end.peers.iter().enumerate() {
            let other =
                &routes.boxes[peer.box_index].service(end.protocol.path()).unwrap().end.peers[peer.number as usize];
            assert_eq!((other.box_index, other.number as usize), (index, number));
            assert_eq!((&other.attach, &other.grant), (&peer.attach, &peer.grant));
        }
    }
    let attached: Vec<_> =
        routes.boxes[2].service(HANDLER_PATH).unwrap().end.peers.iter().map(|p| p.attach.clone()).collect();
    let grant = |path: &str| HttpGrant { path: path.into(), ..HttpGrant::default() }.encode();
    assert_eq!(attached, [grant(""), grant("/a"), grant("/b")]);
}

#[test]
fn an_import_without_an_arrow() {
    let fault = fault(
        &[NET, SITE, "[box.http]\ncomponent = \"http\"\narrows.\"pearwood:http/handler\" = { box = \"site\" }\n"]
            .concat(),
    );
    assert_eq!(fault.message, "box `http` imports `pearwood:net/tcp@0.2.0` and has no arrow for it");
    assert_eq!(fault.help.as_deref(), Some("add arrows.\"pearwood:net/tcp\" = { box = \"net\" }"));
    assert_eq!((fault.place.line, fault.box_name.as_deref()), (8, Some("http")));
    assert_eq!(fault.interface.as_deref(), Some("pearwood:net/tcp@0.2.0"));
}

#[test]
fn an_arrow_for_something_that_is_not_imported() {
    let arrow = |interface: &str| format!("{SITE}{STORE}arrows.\"{interface}\" = {{ box = \"site\" }}\n");
    let faults = |interface: &str, component: Description| {
        let mut components = components();
        components.insert("store".into(), component);
        let faults = check(&parse(&arrow(interface)), &components).unwrap_err();
        faults.into_iter().find(|fault| fault.message.contains("does not import")).unwrap()
    };
    let none = faults("my:store/objects", describe(&[], &["my:store/objects@1.4.2"]));
    assert!(none.help.unwrap().contains("it exports it"));
    let near = faults("my:store/object", describe(&["my:store/objects@1.4.2"], &[]));
    assert_eq!(near.help.as_deref(), Some("did you mean `my:store/objects`?"));
    let version = faults("my:store/objects@2.0.0", describe(&["my:store/objects@1.4.2"], &[]));
    assert_eq!(version.help.as_deref(), Some("it imports `my:store/objects@1.4.2`"));
}

#[test]
fn targets_that_are_not_there_or_do_not_provide() {
    let missing = fault(&[NET, SITE, &http("http", "{ box = \"nett\" }", HANDLER)].concat());
    assert!(missing.message.contains("leads to box `nett`, which does not exist"), "{missing}");
    assert_eq!(missing.help.as_deref(), Some("did you mean `net`?"));
    assert_eq!((missing.place.line, missing.place.column), (10, 37));

    let wrong = fault(&[NET, SITE, &http("http", "{ box = \"site\", listen = [80] }", HANDLER)].concat());
    assert!(wrong.message.contains("leads to box `site`, which does not provide it"), "{wrong}");
    assert_eq!(wrong.help.as_deref(), Some("box `net` provides it"));
    assert!(wrong.notes[0].contains("import `pearwood:net/tcp` and call `service`"), "{wrong}");

    let handler = fault(&[NET, STORE, &http("http", TCP, "{ box = \"store\" }")].concat());
    assert!(handler.notes[0].contains("export `wasi:http/incoming-handler@0.2`"), "{handler}");

    let itself = fault(
        &[NET, SITE, "[box.tls]\ncomponent = \"tls\"\narrows.\"pearwood:net/tcp\" = { box = \"tls\", listen = [1] }\n"]
            .concat(),
    );
    assert!(itself.message.contains("leads back to itself"), "{itself}");

    let mut components = components();
    components.insert("store".into(), describe(&[], &["my:store/objects@2.0.0"]));
    let wiki = "[box.wiki]\ncomponent = \"./wiki\"\narrows.\"my:store/objects\" = { box = \"store\" }\n";
    let version = fault_with(&[STORE, wiki].concat(), &components);
    assert!(
        version.notes[0].contains("it exports `my:store/objects@2.0.0`; `my:store/objects@1.1.0` is needed"),
        "{version}"
    );

    let component = fault("[box.a]\ncomponent = \"nothing\"\n");
    assert_eq!(component.message, "box `a`: there is no component `nothing`");
}

#[test]
fn types_that_do_not_fit() {
    let wiki = "[box.wiki]\ncomponent = \"./wiki\"\narrows.\"my:store/objects\" = { box = \"store\" }\n";
    let notes = |functions: &[(&str, &str)], definition: Option<(&str, &str)>| {
        let mut components = components();
        let mut import =
            interface("my:store/objects@1.0.0", &[("get", "func(key: key) -> list<u8>"), ("put", "func()")]);
        let mut export = interface("my:store/objects@1.0.0", functions);
        if let Some((ours, theirs)) = definition {
            let with = |text: &str| [Type { name: "key".into(), definition: text.into() }].into();
            (import.types, export.types) = (with(ours), with(theirs));
            export.functions[0].shape += 1;
        }
        components.insert(
            "./wiki".into(),
            Description { imports: [import].into(), exports: [].into(), ..Description::default() },
        );
        components.insert(
            "store".into(),
            Description { imports: [].into(), exports: [export].into(), ..Description::default() },
        );
        fault_with(&[STORE, wiki].concat(), &components).notes
    };
    assert_eq!(
        notes(&[("get", "func(key: string) -> list<u8>")], None),
        [
            "`get` is imported as `func(key: key) -> list<u8>` and exported as `func(key: string) -> list<u8>`",
            "`put` is imported as `func()` and not exported"
        ]
    );
    let same = [("get", "func(key: key) -> list<u8>"), ("put", "func()")];
    let hidden = notes(&same, Some(("record { a: u8 }", "record { a: u16 }")));
    assert_eq!(
        hidden,
        [
            "`get` is `func(key: key) -> list<u8>` on both sides, but `key` is imported as `record { a: u8 }` and exported as `record { a: u16 }`"
        ]
    );
}

#[test]
fn what_the_node_does_not_have() {
    let with = |import: Interface| {
        let mut components = components();
        components.insert(
            "store".into(),
            Description { imports: [import].into(), exports: known_exports(), ..Description::default() },
        );
        fault_with(&[STORE, WIKI].concat(), &components)
    };
    let log = |name: &str| Interface { name: name.into(), ..known("pearwood:box/log") };
    let name = with(log("pearwood:box/logs@0.2.0"));
    assert_eq!(name.help.as_deref(), Some("did you mean `pearwood:box/log`?"));
    let version = with(log("pearwood:box/log@0.1.0"));
    assert!(version.message.contains("imports `pearwood:box/log@0.1.0`, and the node has version 0.2.0"), "{version}");
    let shape = with(interface("pearwood:box/log@0.2.0", &[("write", "func(line: string)"), ("read", "func()")]));
    assert_eq!(shape.notes.len(), 2, "{shape}");
    let plain = with(interface("helper", &[("helper", "func()")]));
    assert!(plain.message.contains("imports `helper`, which is not an interface of a package"), "{plain}");
}

const WIKI: &str = "[box.wiki]\ncomponent = \"./wiki\"\narrows.\"my:store/objects\" = { box = \"store\" }\n";

fn known_exports() -> Vec<Interface> {
    [known("my:store/objects@1.4.2")].into()
}

#[test]
fn the_power_over_the_node_is_given_once() {
    let control = |name: &str, target: &str| {
        format!("[box.{name}]\ncomponent = \"control\"\narrows.\"pearwood:control/node\" = {target}\n")
    };
    let one = control("one", "{ node = true }");
    assert_eq!(routes(&one).boxes[0].client(known::CONTROL).unwrap().node, Some(64 << 20));
    let twice = fault(&[one.as_str(), &control("two", "{ node = true }")].concat());
    assert_eq!(twice.message, "the power over the node is granted twice: to box `one` and to box `two`");
    assert_eq!((twice.place.line, twice.notes[0].as_str()), (8, "line 5 grants it first"));
    let missing = fault("[box.one]\ncomponent = \"control\"\n");
    assert_eq!(missing.help.as_deref(), Some("add arrows.\"pearwood:control/node\" = { node = true }"));
    let text = format!("[system]\nname = \"s\"\n{}", control("one", "{ box = \"two\" }"));
    let wrong = System::parse("system.toml", &text).unwrap_err();
    assert!(wrong[0].message.ends_with("it goes to the node; write { node = true }"), "{}", wrong[0].message);
}

#[test]
fn grants_given_twice() {
    let nic = NET.replace("box.net", "box.net2");
    let device = fault(&[NET, &nic, SITE].concat());
    assert_eq!(device.message, "device `nic0` is granted twice: to box `net` and to box `net2`");
    assert_eq!((device.place.line, device.notes[0].as_str()), (8, "line 5 grants it first"));

    let other = http("other", "{ box = \"net\", listen = [443, \"70-90\"] }", HANDLER);
    let port = fault(&[NET, SITE, &http("http", TCP, HANDLER), &other].concat());
    assert_eq!(
        port.message,
        "box `other`: port 70-90 of box `net` (`pearwood:net/tcp`) is granted to box `http` already"
    );
    assert_eq!((port.place.line, port.notes[0].as_str()), (14, "line 10 grants 80"));

    let twice = "[{ box = \"site\", path = \"/a\" }, { box = \"site\", path = \"/a/\" }]";
    let requests = fault(&[NET, SITE, &http("http", TCP, twice)].concat());
    assert!(requests.message.contains("grants requests for `/a/` twice"), "{requests}");
}

#[test]
fn sectors_granted_twice() {
    let keeper = |name: &str, grant: &str| {
        format!("[box.{name}]\ncomponent = \"keeper\"\narrows.\"pearwood:hardware/block\" = {{ {grant} }}\n")
    };
    let both = |a: &str, b: &str| [keeper("a", a), keeper("b", b)].concat();
    let sound = routes(&both(
        "device = \"disk0\", sectors = \"0-99\"",
        "device = \"disk0\", sectors = \"100-*\", read-only = true",
    ));
    let [a, b] = &sound.boxes[..] else { panic!("{sound:?}") };
    let disk = |routes: &BoxRoutes| {
        let [end] = &routes.clients[..] else { panic!("{routes:?}") };
        let [device] = &end.devices[..] else { panic!("{end:?}") };
        (end.interface.clone(), device.device.clone(), device.sectors.unwrap())
    };
    let (interface, device, grant) = disk(a);
    assert_eq!((interface.as_str(), device.as_str()), ("pearwood:hardware/block@0.2.0", "disk0"));
    assert_eq!((grant.sectors.count(), disk(b).2.read_only), (Some(100), true));
    routes(&both("device = \"disk0\"", "device = \"disk1\""));
    routes(&both("device = \"disk0\", read-only = true", "device = \"disk0\", read-only = true"));

    let twice = fault(&both("device = \"disk0\"", "device = \"disk0\", sectors = \"5-6\", read-only = true"));
    assert_eq!(twice.message, "box `b`: sectors 5-6 of `disk0` are granted to box `a` already");
    assert_eq!((twice.place.line, twice.notes[0].as_str()), (8, "line 5 grants 0-*"));

    let system = |line: &str, grant: &str| {
        let text = format!("[system]\nname = \"s\"\n{line}\n{}", keeper("a", grant));
        check(&System::parse("system.toml", &text).unwrap(), &components())
    };
    for (own, note) in [
        ("disk = \"disk0\"", "line 3 keeps the node's systems there"),
        ("[volume.v]\ndisk = \"disk0\"\nsize = \"1 MiB\"", "line 3 declares volume `v` there"),
    ] {
        system(own, "device = \"disk1\"").unwrap();
        for grant in ["", ", sectors = \"0-7\", read-only = true", ", sectors = \"900000-*\""] {
            let faults = system(own, &format!("device = \"disk0\"{grant}")).expect_err(grant);
            let message =
                "box `a`: `disk0` has a partition table, and sectors of such a disk are not granted by their numbers";
            assert_eq!((faults.len(), faults[0].message.as_str()), (1, message), "{}", Report(&faults));
            assert_eq!(faults[0].notes, [note]);
            assert!(faults[0].help.as_ref().unwrap().contains("{ volume = \"NAME\" }"));
        }
    }
}

#[test]
fn volumes_are_declared_and_have_one_box_that_writes() {
    let keeper = |name: &str, grant: &str| {
        format!("[box.{name}]\ncomponent = \"keeper\"\narrows.\"pearwood:hardware/block\" = {{ {grant} }}\n")
    };
    let volume =
        "[volume.guestbook]\ndisk = \"disk0\"\nsize = \"1 MiB\"\n[volume.unused]\ndisk = \"disk0\"\nsize = \"1 MiB\"\n";
    let both = |a: &str, b: &str| [volume, &keeper("a", a), &keeper("b", b)].concat();
    let reads = "volume = \"guestbook\", read-only = true";
    let routes = routes(&both(reads, reads));
    let device = &routes.boxes[1].clients[0].devices[0];
    assert_eq!((device.device.as_str(), device.is_volume), ("guestbook", true));
    assert!(device.sectors.unwrap().read_only);
    for (a, b) in [(reads, "volume = \"guestbook\""), ("volume = \"guestbook\"", "volume = \"guestbook\"")] {
        let twice = fault(&both(a, b));
        assert_eq!(twice.message, "box `b`: volume `guestbook` is granted to box `a` already");
        assert_eq!(twice.notes.len(), 1);
    }
    let none = fault(&both(reads, "volume = \"guestbok\""));
    let message = "box `b`: its arrow `pearwood:hardware/block` leads to volume `guestbok`, which is not declared";
    assert_eq!((none.message.as_str(), none.help.as_deref()), (message, Some("did you mean `guestbook`?")));
    let none = fault(&keeper("a", "volume = \"far\""));
    assert_eq!(none.help.as_deref(), Some("declare it: [volume.far], with a disk and a size"));
}

#[test]
fn grants_outside_their_parents() {
    let tls = "[box.tls]\ncomponent = \"tls\"\narrows.\"pearwood:net/tcp\" = { box = \"net\", listen = [443], connect = [\"*.a.org:443\"] }\n";
    let with = |grant: &str| [NET, SITE, tls, &http("http", grant, HANDLER)].concat();
    routes(&with("{ box = \"tls\", listen = [443], connect = [\"x.a.org:443\"] }"));
    let listen = fault(&with("{ box = \"tls\", listen = [443, 80] }"));
    assert!(
        listen.message.contains("listen = 80 (`pearwood:net/tcp`) is outside what box `tls` has been granted"),
        "{listen}"
    );
    assert_eq!(listen.notes, ["its own grant is listen = [443]"]);
    let connect = fault(&with("{ box = \"tls\", listen = [443], connect = [\"*:443\"] }"));
    assert_eq!(connect.notes, ["its own grant is connect = [*.a.org:443]"]);
}

/// Looking names up is needed by who connects by name to who has the addresses.
#[test]
fn names_need_an_arrow_where_they_are_looked_up() {
    let mut components = components();
    let names = |sides: &str| known(&format!("pearwood:net/names@0.2.0 {sides}"));
    components.get_mut("net").unwrap().imports.push(names("service"));
    components.get_mut("tls").unwrap().imports.push(names("client"));
    components.get_mut("http").unwrap().imports.push(names("client"));
    let with = |connect: &str, more: &str| {
        let tls = format!(
            "[box.tls]\ncomponent = \"tls\"\narrows.\"pearwood:net/tcp\" = {{ box = \"net\", listen = [443]{connect} }}\n{more}"
        );
        let http = http("http", "{ box = \"tls\", listen = [443] }", HANDLER);
        check(&parse(&[NET, SITE, &tls, &http].concat()), &components)
    };
    let routes = with("", "").unwrap();
    let names = routes.boxes.iter().filter_map(|routes| routes.client(known::NAMES)).collect::<Vec<_>>();
    assert_eq!((names.len(), names.iter().all(|end| end.peers.is_empty())), (2, true), "a port that leads nowhere");
    with(", connect = [\"192.0.2.1:443\"]", "").unwrap();
    for connect in ["a.example:443", "*.a.example:443", "*:443"] {
        let connect = format!(", connect = [\"{connect}\"]");
        let faults = with(&connect, "").unwrap_err();
        assert_eq!(faults[0].message, "box `tls` imports `pearwood:net/names@0.2.0` and has no arrow for it");
        let routes = with(&connect, "arrows.\"pearwood:net/names\" = { box = \"net\" }\n").unwrap();
        assert_eq!(routes.boxes[2].client(known::NAMES).unwrap().peers.len(), 1);
    }
}

#[test]
fn circles_of_calls() {
    let caller = |name: &str, to: &str| {
        format!("[box.{name}]\ncomponent = \"caller\"\narrows.\"my:store/objects\" = {{ box = \"{to}\" }}\n")
    };
    let circle = fault(&[caller("a", "b"), caller("b", "c"), caller("c", "b")].concat());
    assert_eq!(circle.message, "boxes call each other in a circle, so none could start: `b` → `c` → `b`");
    assert_eq!(circle.notes.len(), 2);
    assert_eq!(circle.place.line, 8);
    routes(&[caller("a", "b"), caller("b", "store"), STORE.into()].concat());
}

#[test]
fn circles_of_protocols_are_fine() {
    let mut components = components();
    let both = describe(&["pearwood:http/handler@0.2.0 client service"], &["pearwood:box/service@0.2.0"]);
    components.insert("proxy".into(), both);
    let proxy = |name: &str, to: &str| {
        format!("[box.{name}]\ncomponent = \"proxy\"\narrows.\"pearwood:http/handler\" = {{ box = \"{to}\" }}\n")
    };
    check(&parse(&[proxy("a", "b"), proxy("b", "a")].concat()), &components).unwrap();
}

#[test]
fn warnings() {
    let silent = routes(&[NET, SITE, &http("http", "{ box = \"net\" }", HANDLER), STORE].concat());
    let messages: Vec<&str> = silent.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{}", Report(&silent.warnings));
    assert!(messages[0].contains("grants neither a port to listen at nor a host"));
    assert!(messages[1].contains("nothing ever runs box `store`"));
    assert!(silent.warnings[0].to_string().starts_with("warning: "));
}

#[test]
fn all_faults_are_found_in_the_order_of_the_file() {
    let boxes =
        [&http("http", "{ box = \"nett\", listen = [80] }", "{ box = \"store\" }"), NET, NET, "", STORE].concat();
    let boxes = boxes.replacen("[box.net]", "[box.net2]", 1) + "[box.x]\ncomponent = \"nothing\"\n";
    let faults = check(&parse(&boxes), &components()).unwrap_err();
    let lines: Vec<u32> = faults.iter().map(|fault| fault.place.line).collect();
    assert_eq!(lines, [5, 6, 12, 16], "{}", Report(&faults));
}

/// A box of WASI's, which imports and exports these.
fn wasi(imports: &[&str], exports: &[&str], arrows: &str) -> Result<Routes, Vec<Diagnostic>> {
    let mut components = components();
    components.insert("./w".into(), describe(imports, exports));
    check(&parse(&[SITE, "[box.w]\ncomponent = \"./w\"\n", arrows].concat()), &components)
}

const INCOMING: &str = "wasi:http/incoming-handler@0.2.3";
const OUTGOING: &str = "wasi:http/outgoing-handler@0.2.3";

#[test]
fn a_handler_asks_over_an_arrow_like_any_other_client() {
    let arrow = "arrows.\"wasi:http/outgoing-handler\" = [{ box = \"site\", host = \"a.b\" }, { box = \"site\", path = \"/c\" }]\n";
    let routes = wasi(&[OUTGOING, "wasi:http/types@0.2.3"], &[INCOMING], arrow);
    let routes = routes.unwrap_or_else(|faults| panic!("{}", Report(&faults)));
    let client = routes.boxes[1].client(HANDLER_PATH).unwrap();
    let attached: Vec<&[u8]> = client.peers.iter().map(|peer| &*peer.attach).collect();
    let grant = |host: &str, path: &str| HttpGrant { host: host.into(), path: path.into() }.encode();
    assert_eq!(attached, [grant("a.b", ""), grant("", "/c")]);
    assert_eq!(routes.boxes[0].service(HANDLER_PATH).unwrap().end.peers.len(), 2);

    let faults = wasi(&[OUTGOING], &[INCOMING], "").unwrap_err();
    assert_eq!(faults.len(), 1, "{}", Report(&faults));
    assert_eq!(faults[0].message, "box `w` imports `wasi:http/outgoing-handler@0.2.3` and has no arrow for it");
    let help = "add arrows.\"wasi:http/outgoing-handler\" = { box = \"site\" }, or [] if it is to ask nobody";
    assert_eq!(faults[0].help.as_deref(), Some(help));

    let routes = wasi(&[OUTGOING], &[INCOMING], "arrows.\"wasi:http/outgoing-handler\" = []\n");
    let routes = routes.unwrap_or_else(|faults| panic!("{}", Report(&faults)));
    assert!(routes.boxes[1].client(HANDLER_PATH).is_none());
}

/// A bucket of a store, for a box of WASI's and for one with a port.
#[test]
fn a_box_that_keeps_something_has_an_arrow_to_a_bucket() {
    const STORE: &str = "wasi:keyvalue/store@0.2.0-draft2";
    const PACKED: &str = "pearwood:store/keyvalue@0.2.0 client";
    let with = |imports: &[&str], exports: &[&str], arrow: &str| {
        let mut components = components();
        components.insert("./w".into(), describe(imports, exports));
        let store = describe(&["pearwood:store/keyvalue@0.2.0 service"], &["pearwood:box/service@0.2.0"]);
        components.insert("store".into(), store);
        let boxes = [SITE, "[box.store]\ncomponent = \"store\"\n[box.w]\ncomponent = \"./w\"\n", arrow].concat();
        let system = System::parse("system.toml", &format!("[system]\nname = \"s\"\n{boxes}"))?;
        check(&system, &components)
    };
    let faces = [STORE, "wasi:keyvalue/atomics@0.2.0-draft2", "wasi:keyvalue/batch@0.2.0-draft2"];
    let arrow = |interface: &str, rest: &str| format!("arrows.\"{interface}\" = {{ box = \"store\"{rest} }}\n");
    let all = ", bucket = \"b\", access = \"read\", prefix = \"p/\", quota = \"1 MiB\"";
    for (imports, exports, interface) in
        [(&faces[..], INCOMING, "wasi:keyvalue/store"), (&[PACKED][..], "pearwood:box/service@0.2.0", known::KEYVALUE)]
    {
        let routes = with(imports, &[exports], &arrow(interface, all));
        let routes = routes.unwrap_or_else(|faults| panic!("{}", Report(&faults)));
        let peer = &routes.boxes[2].client(known::KEYVALUE).unwrap().peers[0];
        let attach = wit::keyvalue::Attach::decode(&peer.attach).unwrap();
        assert_eq!((attach.bucket, attach.prefix, attach.quota), ("b", "p/", Some(1 << 20)));
        assert_eq!(attach.access, wit::keyvalue::Access::Read);
        assert_eq!(peer.grant.words(), "b/p/ read ≤ 1 MiB");
        assert_eq!(routes.boxes[1].service(known::KEYVALUE).unwrap().end.peers.len(), 1);
    }
    let handler = |imports: &[&str], arrow: &str| with(imports, &[INCOMING], arrow).unwrap_err();
    let long = format!(", bucket = \"b\", prefix = \"{}\"", "x".repeat(1_025));
    for (rest, why) in [
        ("", "names no bucket"),
        (", bucket = \"B\"", "the bucket `B` "),
        (", bucket = \"a/b\"", "the bucket `a/b` "),
        (", bucket = 1", "bucket"),
        (", bucket = \"b\", access = \"all\"", "access = \"all\" is none of read, write, read-write"),
        (", bucket = \"b\", quota = \"much\"", "quota = \"much\""),
        (", bucket = \"b\", quota = 0", "quota is from"),
        (", bucket = \"b\", listen = [80]", "a grant of `listen` does not belong to this interface"),
        (", bucket = \"b\", buckets = 1", "buckets"),
        (&long, "a key has at most 1024 bytes, and this prefix 1025"),
    ] {
        let faults = handler(&faces, &arrow("wasi:keyvalue/store", rest));
        assert_eq!(faults.len(), 1, "{rest}: {}", Report(&faults));
        assert!(faults[0].message.contains(why), "{rest}: {}", Report(&faults));
        assert_eq!(faults[0].interface.as_deref(), Some("wasi:keyvalue/store"), "{rest}");
    }
    let two = "arrows.\"wasi:keyvalue/store\" = [{ box = \"store\", bucket = \"b\" }, { box = \"store\", bucket = \"b\", access = \"read\" }]\n";
    let faults = handler(&faces, two);
    assert_eq!(faults.len(), 1, "{}", Report(&faults));
    assert_eq!(faults[0].message, "box `w` has two arrows to a bucket `b`, which it cannot tell apart");
    let faults = handler(&faces, "");
    assert_eq!(faults[0].message, format!("box `w` imports `{STORE}` and has no arrow for it"));
    assert_eq!(
        faults[0].help.as_deref(),
        Some("add arrows.\"wasi:keyvalue/store\" = { box = \"store\", bucket = \"…\" }")
    );
    let other = "wasi:keyvalue/store@0.2.0-draft";
    let faults = handler(&[other], &arrow("wasi:keyvalue/store", all));
    assert_eq!(faults[0].message, format!("box `w` imports `{other}`, and the node has version 0.2.0-draft2"));
    let faults = handler(&faces, "arrows.\"wasi:keyvalue/store\" = { box = \"site\", bucket = \"b\" }\n");
    assert!(faults[0].message.contains("leads to box `site`, which does not provide it"), "{}", Report(&faults));
    let faults = with(&faces, &["pearwood:box/service@0.2.0"], &arrow("wasi:keyvalue/store", all)).unwrap_err();
    assert_eq!(faults[0].message, format!("box `w` imports `{STORE}` and exports no handler"));
    assert!(faults[0].help.as_deref().unwrap().ends_with("others import `pearwood:store/keyvalue`"));
}

#[test]
fn a_handler_has_no_life_of_its_own() {
    let service = ["pearwood:box/service@0.2.0", INCOMING];
    for (imports, exports, about) in [
        (&["pearwood:box/ports"][..], &[INCOMING][..], "pearwood:box/ports@0.2.0"),
        (&[], &service, INCOMING),
        (&[], &["pearwood:box/handover@0.2.0", INCOMING], "pearwood:box/handover"),
        (&["acme:chat/room@1.0.0 service"], &[INCOMING], "acme:chat/room@1.0.0"),
    ] {
        let faults = wasi(imports, exports, "").unwrap_err();
        let named = faults.iter().find(|fault| fault.interface.as_deref() == Some(about));
        let fault = named.unwrap_or_else(|| panic!("{}", Report(&faults)));
        assert_eq!((fault.place.line, fault.box_name.as_deref()), (6, Some("w")));
    }
    let arrow = "arrows.\"wasi:http/outgoing-handler\" = { box = \"site\" }\n";
    let faults = wasi(&[OUTGOING], &["pearwood:box/service@0.2.0"], arrow).unwrap_err();
    assert_eq!(faults[0].message, "box `w` imports `wasi:http/outgoing-handler@0.2.3` and exports no handler");
    // G4: a program with a `main` is a handler all the same
    let routes =
        wasi(&[], &["wasi:cli/run@0.2.3", INCOMING], "").unwrap_or_else(|faults| panic!("{}", Report(&faults)));
    assert_eq!(routes.boxes[1].run, Run::Called);
    let faults = wasi(&[], &["wasi:cli/run@0.2.3"], "").unwrap_err();
    assert_eq!(faults[0].message, "box `w` exports `wasi:cli/run`, and this node does not run commands");
}

#[test]
fn a_box_has_no_more_ports_than_wait_has_flags() {
    let check_with = |ports: usize| {
        let system = System::parse("system.toml", "[system]\nname = \"s\"\n[box.one]\ncomponent = \"one\"\n").unwrap();
        let imports =
            (0..ports).map(|number| protocol(&alloc::format!("acme:many/p{number}@1.0.0"), "service")).collect();
        let exports = vec![interface("pearwood:box/service@0.2.0", &[])];
        let description = Description { imports, exports, ..Description::default() };
        check(&system, &[("one".to_string(), description)].into()).map(|routes| routes.boxes[0].services.len())
    };
    assert_eq!(check_with(60), Ok(60));
    let faults = check_with(61).unwrap_err();
    assert_eq!(faults[0].message, "box `one` has 61 ports, and a box can have 60");
}

/// What the node lends: without an arrow it is not there, and whoever imports it can do without.
#[test]
fn an_arrow_for_what_the_node_lends_may_be_left_out() {
    const LENT: &str = "pearwood:hardware/crypto@0.2.0";
    let arrow = |to: &str| format!("arrows.\"pearwood:hardware/crypto\" = {to}\n");
    let routes =
        wasi(&[LENT], &[INCOMING], &arrow("{ node = true }")).unwrap_or_else(|faults| panic!("{}", Report(&faults)));
    assert_eq!(routes.boxes[1].lent, [LENT]);
    let routes = wasi(&[LENT], &[INCOMING], "").unwrap_or_else(|faults| panic!("{}", Report(&faults)));
    assert!(routes.boxes[1].lent.is_empty());
    // who does not import it needs none, and nobody else lends it
    let faults = wasi(&[], &[INCOMING], &arrow("{ node = true }")).unwrap_err();
    assert!(faults[0].message.contains("which its component does not import"), "{}", Report(&faults));
    for to in ["{ box = \"site\" }", "{ device = \"cpu0\" }"] {
        let text = format!("[system]\nname = \"s\"\n[box.w]\ncomponent = \"./w\"\n{}", arrow(to));
        let faults = System::parse("system.toml", &text).unwrap_err();
        assert!(faults[0].message.contains("it goes to the node; write { node = true }"), "{}", Report(&faults));
    }
}

/// A box that makes connections for others needs no keys; one that others listen at does.
#[test]
fn who_serves_needs_keys() {
    let mut components = components();
    let own = ["pearwood:net/tcp@0.2.0 client service", "pearwood:keys/tls@0.2.0"];
    components.insert("tls".into(), describe(&own, &["pearwood:box/service@0.2.0"]));
    components.insert("fetch".into(), describe(&["pearwood:net/tcp@0.2.0 client"], &["pearwood:box/service@0.2.0"]));
    let tls = "[box.tls]\ncomponent = \"tls\"\narrows.\"pearwood:net/tcp\" = { box = \"net\", listen = [443], connect = [\"*:443\"] }\n";
    let other = |grant: &str| {
        format!("[box.fetch]\ncomponent = \"fetch\"\narrows.\"pearwood:net/tcp\" = {{ box = \"tls\", {grant} }}\n")
    };
    let dials = [NET, tls, &other("connect = [\"a.example:443\"]")].concat();
    let routes = check(&parse(&dials), &components).unwrap_or_else(|faults| panic!("{}", Report(&faults)));
    assert_eq!(routes.boxes[1].nobody, ["pearwood:keys/tls@0.2.0"]);
    // another component may not know what to do without
    components.insert("./own".into(), describe(&own[1..], &["pearwood:box/service@0.2.0"]));
    let fault = fault_with("[box.own]\ncomponent = \"./own\"\n", &components);
    assert_eq!(fault.message, "box `own` imports `pearwood:keys/tls@0.2.0` and has no arrow for it");
    let fault = fault_with(&[NET, tls, &other("listen = [443]")].concat(), &components);
    assert_eq!(fault.message, "box `tls` imports `pearwood:keys/tls@0.2.0` and has no arrow for it");
    assert_eq!(fault.notes, ["box `fetch` listens at it, at port 443"]);
    assert_eq!(fault.help.as_deref(), Some("add arrows.\"pearwood:keys/tls\" = { box = \"…\" }"));
}
