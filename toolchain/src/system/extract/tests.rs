use super::*;
use crate::system::{given::given, known};

/// The imports of a world that imports all interfaces of a package.
fn package(name: &str, wit: &str) -> Description {
    let mut resolve = Resolve::default();
    let package = resolve.push_str(name, wit).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let wit::PackageName { namespace, name, version } = &resolve.packages[package].name;
    let version = version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    let interfaces = resolve.packages[package].interfaces.keys();
    let imports: String =
        interfaces.map(|interface| format!("import {namespace}:{name}/{interface}{version};\n")).collect();
    let world = format!("package test:all;\nworld all {{\n{imports}}}\n");
    let package = resolve.push_str("all.wit", &world).unwrap_or_else(|error| panic!("{world}{error:#}"));
    let world = resolve.packages[package].worlds["all"];
    world_description(&resolve, world).unwrap()
}

#[test]
fn what_the_node_is_the_service_of_is_what_its_wit_declares() {
    use ::wit::{block, control, http, names, nic, tcp, udp};
    let find = |path: &str| given().iter().find(|given| given.path() == path).unwrap_or_else(|| panic!("no `{path}`"));
    for given in given().iter().filter(|given| given.path() != "pearwood:net/types") {
        let is_protocol = !given.path().starts_with("pearwood:box/") && !wasm_host::LENT.contains(&given.path());
        assert_eq!(given.protocol.is_some(), is_protocol, "{}", given.name);
    }
    let declared = |path: &str| find(path).protocol.clone().unwrap();
    let handler = declared(known::HANDLER);
    assert_eq!(find(known::HANDLER).track(), format!("{}@{}", known::HANDLER, known::HANDLER_VERSION));
    assert!(handler.client && handler.service);
    // the node is the service of its own resources
    for path in ["pearwood:hardware/nic", "pearwood:hardware/block", known::CONTROL] {
        assert!(declared(path).client && !declared(path).service, "{path}");
    }
    // the numbers by which the node knows kinds are the positions in the WIT files
    let position = |cases: &[Case], name: &str| {
        let place = cases.iter().position(|case| case.name == name).unwrap_or_else(|| panic!("no case `{name}`"));
        place as u8 + 1
    };
    for (path, name, kind) in [
        (known::TCP, "listen", tcp::Command::LISTEN),
        (known::TCP, "connect", tcp::Command::CONNECT),
        (known::UDP, "bind", udp::Command::BIND),
        (known::UDP, "datagram", udp::Command::DATAGRAM),
        (known::NAMES, "lookup", names::Command::LOOKUP),
        (known::HANDLER, "request", http::Command::REQUEST),
        ("pearwood:hardware/nic", "frame", nic::Command::FRAME),
        ("pearwood:hardware/block", "discard", block::Command::DISCARD),
        (known::CONTROL, "cancel", control::Command::CANCEL),
    ] {
        assert_eq!(position(&declared(path).commands, name), kind, "{path} {name}");
    }
    for (path, name, kind) in [
        (known::UDP, "datagram", udp::Event::DATAGRAM),
        (known::NAMES, "addresses", names::Event::ADDRESSES),
        (known::NAMES, "failed", names::Event::FAILED),
        (known::HANDLER, "response", http::Event::RESPONSE),
        ("pearwood:hardware/block", "failed", block::Event::FAILED),
        (known::CONTROL, "last", control::Event::LAST),
    ] {
        assert_eq!(position(&declared(path).events, name), kind, "{path} {name}");
    }
}

const SHELF: &str = "package acme:shelf@1.2.3;
interface shelf {
    type id = u32;
    enum colour { red, green }
    record size { width: u16, %depth: option<u8> }
    record put { id: id, colour: colour, size: size }
    variant command { put(put), take(id), note(string), clear }
    record taken { id: u32, what: list<tuple<string, u8>> }
    variant event { taken(taken), gone(id) }
    record attach { room: string, all: option<bool> }
    enum asks { put, take }
    enum ends { taken, gone }
    enum fails { gone }
    record metered { asks: asks, ends: ends, fails: fails }
    record protocol { command: command, event: event, attach: attach, metered: metered }
    client: func(protocol: list<protocol>) -> u32;
    service: func(protocol: list<protocol>) -> u32;
}";

fn cases(cases: &[Case]) -> Vec<(String, Vec<String>)> {
    let fields = |case: &Case| case.fields.iter().map(|field| format!("{}: {}", field.name, field.ty)).collect();
    cases.iter().map(|case| (case.name.clone(), fields(case))).collect()
}

#[test]
fn a_protocol_is_read_from_its_interface() {
    let description = package("shelf.wit", SHELF);
    let [shelf] = &description.imports[..] else { panic!("{description:?}") };
    assert_eq!(shelf.track(), "acme:shelf/shelf@1");
    let declared = shelf.protocol.as_ref().unwrap();
    assert!(declared.client && declared.service);
    let expected = |all: &[(&str, &[&str])]| -> Vec<(String, Vec<String>)> {
        all.iter().map(|(name, fields)| (name.to_string(), fields.iter().map(ToString::to_string).collect())).collect()
    };
    // types are written out, and the fields of a record at the end stand in its place
    let put: &[&str] = &["id: u32", "colour: enum { red, green }", "width: u16", "depth: option<u8>"];
    let commands = expected(&[("put", put), ("take", &[": u32"]), ("note", &[": string"]), ("clear", &[])]);
    assert_eq!(cases(&declared.commands), commands);
    let taken: &[&str] = &["id: u32", "what: list<tuple<string, u8>>"];
    assert_eq!(cases(&declared.events), expected(&[("taken", taken), ("gone", &[": u32"])]));
    let attach = declared.attach.as_ref().unwrap();
    let attach: Vec<(&str, &str)> = attach.iter().map(|field| (&*field.name, &*field.ty)).collect();
    assert_eq!(attach, [("room", "string"), ("all", "option<bool>")]);
    let (put, taken, gone) = (Kinds::bit(1), Kinds::bit(1), Kinds::bit(2));
    let kinds = Kinds { asks: put | Kinds::bit(2), ends: taken | gone, fails: gone, ..Kinds::default() };
    assert_eq!(declared.kinds, kinds);

    // a component has of the interface what it uses
    let client = SHELF.replace("    service: func(protocol: list<protocol>) -> u32;\n", "");
    let declared = package("shelf.wit", &client).imports[0].protocol.clone().unwrap();
    assert_eq!((declared.client, declared.service), (true, false));
    let other = SHELF.replace("client:", "open:").replace("service:", "close:");
    assert_eq!(package("shelf.wit", &other).imports[0].protocol, None, "it is an interface like any other");
}

#[test]
fn a_protocol_that_is_none() {
    let fault = |from: &str, to: &str| {
        let wit = SHELF.replace(from, to);
        assert_ne!(wit, SHELF, "{from}");
        let mut resolve = Resolve::default();
        let world = format!("{wit}\nworld w {{ import shelf; }}");
        let package = resolve.push_str("shelf.wit", &world).unwrap_or_else(|error| panic!("{error:#}"));
        world_description(&resolve, resolve.packages[package].worlds["w"]).unwrap_err().to_string()
    };
    for (from, to, why) in [
        ("command: command", "command: put", "`command` is no variant"),
        ("metered: metered }", "metered: u8 }", "`metered` is no record"),
        (
            "record metered { asks: asks",
            "record metered { asked: asks",
            "`metered` has a field `asked`, which means nothing",
        ),
        ("record metered { asks: asks", "record metered { asks: size", "`metered`: `asks` is no enum"),
        ("enum asks { put, take }", "enum asks { put, gone }", "`metered`: `asks` names `gone`, which is no case"),
    ] {
        let expected = format!("`acme:shelf/shelf@1.2.3`: the record `protocol`: {why}");
        assert_eq!(fault(from, to), expected);
    }
    let many: Vec<String> = (0..240).map(|number| format!("c{number}")).collect();
    let many = format!("variant event {{ taken(taken), gone(id), {} }}", many.join(", "));
    assert!(fault("variant event { taken(taken), gone(id) }", &many).contains("`event` has more than 239 cases"));
}

/// What one side may have more than the other.
#[test]
fn protocols_grow_at_their_ends() {
    let declared = |wit: &str| package("shelf.wit", wit).imports[0].protocol.clone().unwrap();
    let misfits = |changes: &[(&str, &str)]| {
        let changed = changes.iter().fold(String::from(SHELF), |wit, (from, to)| {
            assert!(wit.contains(from), "{from}");
            wit.replace(from, to)
        });
        let (ours, theirs) = (declared(SHELF), declared(&changed));
        let [one, other] = [ours.misfits(&theirs), theirs.misfits(&ours)];
        assert_eq!(one.len(), other.len(), "{one:?} {other:?}");
        one
    };
    let fits = |changes: &[(&str, &str)]| assert_eq!(misfits(changes), Vec::<String>::new(), "{changes:?}");
    fits(&[]);
    fits(&[("clear }", "clear, sort, count(u64) }"), ("gone(id) }", "gone(id), full }")]);
    fits(&[("%depth: option<u8> }", "%depth: option<u8>, label: option<string> }")]);
    fits(&[(
        "what: list<tuple<string, u8>> }",
        "what: list<tuple<string, u8>>, by: option<list<u8>>, at: option<u64> }",
    )]);
    fits(&[("all: option<bool> }", "all: option<bool>, limit: option<u32> }")]);
    fits(&[("enum asks { put, take }", "enum asks { put }")]);
    // names of types do not go over the wire
    fits(&[("type id = u32;", "type id = u32; type text = string;"), ("room: string", "room: text")]);

    for (changes, expected) in [
        (
            ("variant command { put(put), take(id)", "variant command { take(id), put(put)"),
            "command `put` is `take` there",
        ),
        (
            ("colour: colour,", "colour: u8,"),
            "command `put`: field `colour: enum { red, green }` is `colour: u8` there",
        ),
        (("red, green", "red, green, blue"), "`colour: enum { red, green, blue }` there"),
        (("width: u16", "wide: u16"), "command `put`: field `width: u16` is `wide: u16` there"),
        (("%depth: option<u8>", "%depth: u8"), "`depth: option<u8>` is `depth: u8` there"),
        (("%depth: option<u8> }", "%depth: option<u8>, by: u32 }"), "field `by` is on one side only, and no option"),
        (("note(string)", "note(list<u8>)"), "command `note`: field `: string` is `: list<u8>` there"),
        (("note(string)", "note"), "field `` is on one side only, and no option"),
        (("gone(id) }", "left(id) }"), "event `gone` is `left` there"),
        (("room: string", "room: u32"), "record `attach`: field `room: string` is `room: u32` there"),
    ] {
        let mut changes = Vec::from([changes]);
        if changes[0].1 == "left(id) }" {
            changes.extend([
                ("enum ends { taken, gone }", "enum ends { taken }"),
                ("enum fails { gone }", "enum fails { left }"),
            ]);
        }
        let found = misfits(&changes);
        assert!(found.first().is_some_and(|found| found.contains(expected)), "{changes:?}: {found:?}");
    }
}

const WIT: &str = "
package my:shop@1.2.0;
interface stock {
    resource item { constructor(name: string); price: func() -> result<u32, fault>; }
    variant fault { gone, other(string) }
    record order { item: borrow<item>, count: u8, tags: list<tuple<string, option<f64>>> }
    type orders = list<order>;
    flags options { gift, express }
    place: func(orders: orders, options: options) -> result<_, fault>;
    find: async func(name: string) -> option<item>;
}
";

#[test]
fn types_are_written_as_wit_writes_them() {
    let mut resolve = Resolve::default();
    let world = format!("{WIT}world shop {{ import stock; export run: func(); }}");
    let package = resolve.push_str("shop.wit", &world).unwrap();
    let world = resolve.packages[package].worlds["shop"];
    let description = world_description(&resolve, world).unwrap();
    let [stock] = &description.imports[..] else { panic!("{description:?}") };
    assert_eq!(stock.name, "my:shop/stock@1.2.0");
    let functions: Vec<(&str, &str)> =
        stock.functions.iter().map(|f| (f.name.as_str(), f.signature.as_str())).collect();
    let expected = [
        ("[async]find", "async func(name: string) -> option<item>"),
        ("[constructor]item", "func(name: string) -> item"),
        ("[method]item.price", "func(self: borrow<item>) -> result<u32, fault>"),
        ("place", "func(orders: orders, options: options) -> result<_, fault>"),
    ];
    let without_async = |name: &str| name.replace("[async]", "");
    let plain = |list: &[(&str, &str)]| {
        let mut list: Vec<(String, String)> = list.iter().map(|(n, s)| (without_async(n), s.to_string())).collect();
        list.sort();
        list
    };
    assert_eq!(plain(&functions), plain(&expected));
    assert_eq!(
        stock.definition("order"),
        Some("record { item: borrow<item>, count: u8, tags: list<tuple<string, option<f64>>> }")
    );
    assert_eq!(stock.definition("fault"), Some("variant { gone, other(string) }"));
    assert_eq!(description.exports[0].name, "run");
}

#[test]
fn shapes_see_through_names() {
    let shape_of = |types: &str| {
        let wit = format!("package a:b@0.1.0;\ninterface c {{ {types} f: func(x: t); }}");
        package("a.wit", &wit).imports[0].functions[0].shape
    };
    assert_eq!(shape_of("type t = list<u8>;"), shape_of("type u = u8; type t = list<u>;"));
    assert_ne!(shape_of("type t = list<u8>;"), shape_of("type t = list<u16>;"));
    assert_ne!(shape_of("record t { a: u8 }"), shape_of("record t { b: u8 }"));
}

#[test]
fn types_that_grow_without_end_are_refused() {
    let mut types = String::from("type t0 = tuple<u8, u8>;\n");
    for i in 1..40 {
        types += &format!("type t{i} = tuple<t{0}, t{0}>;\n", i - 1);
    }
    let wit = format!("package a:b;\ninterface c {{ {types} f: func(x: t39); }}\nworld w {{ import c; }}");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("a.wit", &wit).unwrap();
    let error = world_description(&resolve, resolve.packages[package].worlds["w"]).unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}

#[test]
fn what_is_no_component() {
    assert!(describe(b"").is_err() && describe(b"\0asm\x0d\0\x01\0garbage").is_err());
    assert!(describe(b"\0asm\x01\0\0\0").unwrap_err().to_string().contains("core module"));
}

#[test]
fn a_component_is_described() {
    let component = r#"(component
        (import "pearwood:box/log@0.2.0" (instance
            (type $enum (enum "error" "warn" "info" "debug"))
            (export "level" (type $level (eq $enum)))
            (export "write" (func (param "level" $level) (param "line" string)))))
        (import "my:shop/stock@1.2.0" (instance $stock (export "count" (func (result u32)))))
        (instance $again (export "count" (func $stock "count")))
        (export "my:shop/stock@1.2.0" (instance $again)))"#;
    let description = describe(&wat::parse_str(component).unwrap()).unwrap();
    let [log, stock] = &description.imports[..] else { panic!("{description:?}") };
    assert_eq!(log.functions[0].signature, "func(level: level, line: string)");
    assert_eq!(log, given().iter().find(|given| given.path() == log.path()).unwrap());
    assert_eq!(&description.exports[..], core::slice::from_ref(stock));
}
