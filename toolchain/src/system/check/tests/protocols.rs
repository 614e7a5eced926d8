//! Protocols that the node knows nothing of: both ends, and what their arrow says.

use super::*;
use wasm_host::plan::MAX_ENTRIES;

const ROOM: &str = "acme:chat/room";

/// A client and a service of a protocol of their own, and the arrow between them with these settings. The service can do
/// without an arrow.
fn chat(client: Declaration, service: Declaration, settings: &str) -> Result<Routes, Vec<Diagnostic>> {
    let mut components = components();
    for (name, declared) in [("guest", client), ("room", service)] {
        let import = Interface { protocol: Some(declared), ..interface(&format!("{ROOM}@1.4.0"), &[]) };
        let description = Description {
            imports: [import].into(),
            exports: [known("pearwood:box/service@0.2.0")].into(),
            ..Description::default()
        };
        components.insert(name.into(), description);
    }
    let arrow = format!("arrows.\"{ROOM}\" = {{ box = \"room\"{settings} }}\n");
    let boxes = format!("[box.room]\ncomponent = \"room\"\n[box.guest]\ncomponent = \"guest\"\n{arrow}");
    check(&parse(&boxes), &components)
}

fn field(name: &str, ty: &str) -> Field {
    Field { name: name.into(), ty: ty.into() }
}

fn case(name: &str, fields: &[(&str, &str)]) -> Case {
    Case { name: name.into(), fields: fields.iter().map(|(name, ty)| field(name, ty)).collect() }
}

#[test]
fn settings_of_an_arrow_are_what_attach_says() {
    let attach = Some(vec![field("topic", "string"), field("limit", "u16"), field("tags", "option<list<string>>")]);
    let client = Declaration { client: true, attach, ..Declaration::default() };
    let service = Declaration { client: false, service: true, ..client.clone() };
    let chat = |settings: &str| chat(client.clone(), service.clone(), settings);
    let routes = chat(", limit = 513, topic = \"pears\"").unwrap_or_else(|faults| panic!("{}", Report(&faults)));
    let [room, guest] = &routes.boxes[..] else { panic!("{routes:?}") };
    let packed = b"\x05\0\0\0pears\x01\x02\0";
    for peer in [&guest.client(ROOM).unwrap().peers[0], &room.service(ROOM).unwrap().end.peers[0]] {
        assert_eq!(&*peer.attach, packed);
    }
    assert_eq!(guest.client(ROOM).unwrap().protocol.name, "acme:chat/room@1");
    let routes = chat(", limit = 0, topic = \"\", tags = [\"a\"]").unwrap();
    let peer = &routes.boxes[1].client(ROOM).unwrap().peers[0];
    assert_eq!(peer.attach, b"\0\0\0\0\0\0\x01\x01\0\0\0\x01\0\0\0a");
    for (settings, why) in [
        (", topic = \"a\"", "the arrow does not say `limit` (u16)"),
        (", topic = \"a\", limit = 65536", "65536 is no u16"),
        (", topic = \"a\", limit = -1", "-1 is no u16"),
        (", topic = 1, limit = 1", "1 is no string"),
        (", topic = \"a\", limit = 1, tags = \"b\"", "\"b\" is no list<string>"),
        (", topic = \"a\", limit = 1, colour = \"red\"", "the protocol's `attach` has no field `colour`"),
    ] {
        let faults = chat(settings).unwrap_err();
        assert_eq!(faults.len(), 1, "{}", Report(&faults));
        assert_eq!(faults[0].message, format!("box `guest`: its arrow `{ROOM}`: {why}"));
        assert_eq!((faults[0].place.line, faults[0].interface.as_deref()), (7, Some(ROOM)));
        let note = "`attach` is declared as { topic: string, limit: u16, tags: option<list<string>> }";
        assert_eq!(faults[0].notes, [note]);
    }
    // of a protocol that has no `attach`, an arrow says nothing
    let plain = Declaration { attach: None, ..client.clone() };
    let faults = self::chat(plain.clone(), Declaration { client: false, service: true, ..plain }, ", topic = \"a\"")
        .unwrap_err();
    assert!(faults[0].message.ends_with("the protocol's `attach` has no field `topic`"), "{}", Report(&faults));
}

#[test]
fn ends_of_an_arrow_speak_the_same_protocol() {
    let of = |commands: &[Case]| Declaration { commands: commands.into(), ..Declaration::default() };
    let say = case("say", &[("id", "u32"), ("text", "string")]);
    let client = Declaration { client: true, ..of(core::slice::from_ref(&say)) };
    let grown = case("say", &[("id", "u32"), ("text", "string"), ("to", "option<string>")]);
    let service = Declaration { service: true, ..of(&[grown, case("leave", &[])]) };
    let routes = chat(client.clone(), service, "").unwrap_or_else(|faults| panic!("{}", Report(&faults)));
    assert_eq!(routes.boxes[1].client(ROOM).unwrap().peers.len(), 1);
    let other = Declaration { service: true, ..of(&[case("say", &[("id", "u32"), ("text", "list<u8>")])]) };
    let faults = chat(client.clone(), other, "").unwrap_err();
    assert_eq!(faults.len(), 1, "{}", Report(&faults));
    let message = format!("box `guest`: its arrow `{ROOM}` does not fit what box `room` provides");
    assert_eq!((&faults[0].message, faults[0].box_name.as_deref()), (&message, Some("guest")));
    assert_eq!(faults[0].notes, ["command `say`: field `text: string` is `text: list<u8>` there"]);
    // who declares the arrow is the client
    let backwards = Declaration { client: false, service: true, ..client.clone() };
    let faults = chat(backwards.clone(), backwards, "").unwrap_err();
    let message = format!("box `guest` has an arrow for `{ROOM}`, whose service its component is");
    assert_eq!((faults.len(), &faults[0].message), (1, &message));
    // two clients
    let faults = chat(client.clone(), client, "").unwrap_err();
    assert!(faults.iter().any(|fault| fault.message.ends_with("leads to box `room`, which does not provide it")));
}

#[test]
fn a_service_needs_no_arrow_and_a_client_does() {
    let mut components = components();
    let run = || vec![known("pearwood:box/service@0.2.0")];
    let both = [("room", "service"), ("guest", "client"), ("relay", "client service")];
    for (name, sides) in both {
        let imports = vec![protocol(&format!("{ROOM}@1.0.0"), sides)];
        components.insert(name.into(), Description { imports, exports: run(), ..Description::default() });
    }
    let lonely = check(&parse("[box.room]\ncomponent = \"room\"\n"), &components).unwrap();
    assert!(lonely.warnings.is_empty(), "{}", Report(&lonely.warnings));
    let room = lonely.boxes[0].service(ROOM).unwrap();
    assert_eq!((&room.provider, room.end.peers.len()), (&Provider::Port, 0));
    for name in ["guest", "relay"] {
        let fault = fault_with(&format!("[box.{name}]\ncomponent = \"{name}\"\n"), &components);
        assert_eq!(fault.message, format!("box `{name}` imports `{ROOM}@1.0.0` and has no arrow for it"));
    }
    let relay = format!(
        "[box.relay]\ncomponent = \"relay\"\narrows.\"{ROOM}\" = {{ box = \"room\" }}\n\
         [box.room]\ncomponent = \"room\"\n"
    );
    let routes = check(&parse(&relay), &components).unwrap();
    // clients first: so are the ports numbered
    let ends: Vec<_> = routes.boxes[0].ends().map(|(side, end)| (side.function(), end.peers.len())).collect();
    assert_eq!(ends, [("client", 1), ("service", 0)]);
    assert!(routes.boxes[0].client(NAMES).is_none());
}

#[test]
fn calls_lead_to_one_box() {
    let fault = |arrow: &str| {
        let other = STORE.replace("box.store", "box.other");
        let wiki = format!("[box.wiki]\ncomponent = \"./wiki\"\narrows.\"my:store/objects\" = {arrow}\n");
        let faults = check(&parse(&[STORE, &other, &wiki].concat()), &components()).expect_err(arrow);
        assert_eq!(faults.len(), 1, "{}", Report(&faults));
        assert_eq!((faults[0].place.line, faults[0].box_name.as_deref()), (9, Some("wiki")));
        faults[0].message.clone()
    };
    let two = fault("[{ box = \"store\" }, { box = \"other\" }]");
    assert_eq!(two, "box `wiki` calls `my:store/objects@1.1.0`, which can lead to one box only");
    for setting in ["listen", "bx"] {
        let said = fault(&format!("{{ box = \"store\", {setting} = [80] }}"));
        let why = "means nothing, as box `store` does not look at what arrows say";
        assert_eq!(said, format!("box `wiki`: its arrow `my:store/objects`: `{setting}` {why}"));
    }
}

/// A box that others call may look at what their arrows say.
#[test]
fn words_of_arrows_are_for_the_box_that_is_called() {
    let check = |said: &str| {
        let mut components = components();
        let store = describe(&["pearwood:box/caller@0.2.0"], &["my:store/objects@1.4.2"]);
        components.insert("store".into(), store);
        let wiki =
            format!("[box.wiki]\ncomponent = \"./wiki\"\narrows.\"my:store/objects\" = {{ box = \"store\"{said} }}\n");
        check(&parse(&[STORE, &wiki].concat()), &components)
    };
    let words = |said: &str| {
        let routes = check(said).unwrap_or_else(|faults| panic!("{}", Report(&faults)));
        routes.boxes[1].calls[0].words.clone()
    };
    let said = ", keys = [\"a\", \"b\"], most = 5, all = true, lists = [[1], [2, 3]]";
    let expected = [
        ("all", "true"),
        ("keys.0", "a"),
        ("keys.1", "b"),
        ("lists.0.0", "1"),
        ("lists.1.0", "2"),
        ("lists.1.1", "3"),
        ("most", "5"),
    ];
    let mut all = words(said);
    all.sort();
    assert_eq!(all, expected.map(|(key, value)| (key.to_string(), value.to_string())));
    assert!(words("").is_empty());
    let many = format!(", keys = [{}]", "1, ".repeat(MAX_ENTRIES + 1));
    for (said, why) in [
        (", keys = []", "keys = [] says nothing"),
        (many.as_str(), "says too much"),
        (&format!(", key = \"{}\"", "a".repeat(4_096)), "says too much"),
    ] {
        let faults = check(said).expect_err(said);
        assert_eq!((faults.len(), faults[0].place.line), (1, 7), "{}", Report(&faults));
        assert!(faults[0].message.contains(why), "{}", faults[0]);
    }
}
