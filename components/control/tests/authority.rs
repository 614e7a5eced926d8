//! Keys that change, and images that somebody brings.

mod common;

use common::{DEPLOY, Joined, OPERATE, SECOND, VIEW, World, key};
use manage::{Authority, Settings};
use pearwood_control::hex;
use pearwood_control::message::{Request, Response};

fn refusal(response: Response) -> String {
    match response {
        Response::Refused(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}

/// A system in which these keys have these roles.
fn with_keys(keys: &[(u8, &str)]) -> Authority {
    let mut settings = Vec::new();
    for (index, (seed, role)) in keys.iter().enumerate() {
        settings.push((format!("keys.{index}.key"), hex(key(*seed).verifying_key().as_bytes())));
        settings.push((format!("keys.{index}.role"), role.to_string()));
    }
    Authority { settings: Some(settings), is_other: true }
}

/// Brings an image and deploys it.
fn deploys(world: &mut World, who: &mut Joined, allow_lockout: bool) -> Response {
    assert_eq!(who.ask(world, &Request::Begin { manifest: &[1] }), Response::Number(1));
    who.ask(world, &Request::Deploy(Settings { allow_lockout, ..Settings::default() }))
}

#[test]
fn nobody_is_locked_out_unawares() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    let settings = |pairs: &[(&str, &str)]| Some(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect());
    for (successor, why) in [
        (with_keys(&[(OPERATE, "deploy")]), "does not list the key that asks"),
        (with_keys(&[(DEPLOY, "view"), (OPERATE, "deploy")]), "the role `deploy`, and only `view` in the new"),
        (with_keys(&[(DEPLOY, "operate")]), "no key of the new system has the role `deploy`"),
        (with_keys(&[]), "no key of the new system has the role `deploy`"),
        (Authority { settings: None, is_other: true }, "no box of the new system has the power over the node"),
        (
            Authority { settings: settings(&[("port", "no")]), is_other: true },
            "config.port = \"no\": a number from 1 to 65535 is meant",
        ),
    ] {
        world.node.successor = successor;
        let refused = refusal(deploys(&mut world, &mut anna, false));
        assert!(refused.contains(why) && refused.contains("--allow-lockout"), "{refused}");
        assert!(!world.node.done.iter().any(|done| done.starts_with("deploy")), "{:?}", world.node.done);
        assert_eq!(deploys(&mut world, &mut anna, true), Response::Number(1));
        assert!(world.node.done.iter().any(|done| done == "deploy by anna"));
        world.node.done.clear();
    }
    world.node.successor = with_keys(&[(DEPLOY, "deploy")]);
    assert_eq!(deploys(&mut world, &mut anna, false), Response::Number(1));
    assert_eq!(world.node.asked_for, Some(true));
    // what is as it was is not looked at
    world.node.successor = Authority { is_other: false, ..with_keys(&[]) };
    assert_eq!(deploys(&mut world, &mut anna, false), Response::Number(1));
}

#[test]
fn going_back_gives_nobody_what_was_taken() {
    let mut world = World::new();
    let mut ole = Joined::enter(&mut world, OPERATE);
    let back = |allow_lockout| Request::RollBack(Settings { allow_lockout, ..Settings::default() });
    world.node.successor = with_keys(&[(OPERATE, "deploy"), (DEPLOY, "deploy")]);
    for allow in [false, true] {
        let why = refusal(ole.ask(&mut world, &back(allow)));
        assert!(why.contains("this needs the role `deploy`, and the key has `operate`"), "{why}");
    }
    assert_eq!(world.node.asked_for, Some(false));
    world.node.successor.is_other = false;
    assert_eq!(ole.ask(&mut world, &back(false)), Response::Number(2));
    // the node sees to it where nobody knows before
    world.node.is_unknown = true;
    assert_eq!(ole.ask(&mut world, &back(true)), Response::Number(2));
    assert_eq!(world.node.done, ["roll back by ole, by the same people"; 2]);
    world.node.is_unknown = false;
    let mut anna = Joined::enter(&mut world, DEPLOY);
    world.node.successor = with_keys(&[(OPERATE, "deploy"), (DEPLOY, "deploy")]);
    assert_eq!(anna.ask(&mut world, &back(false)), Response::Number(2));
    world.node.successor = with_keys(&[(OPERATE, "deploy")]);
    assert!(refusal(anna.ask(&mut world, &back(false))).contains("does not list the key"));
    assert_eq!(anna.ask(&mut world, &back(true)), Response::Number(2));
}

#[test]
fn sessions_end_when_another_box_has_the_power() {
    let mut world = World::new();
    let [mut anna, vera] = [Joined::enter(&mut world, DEPLOY), Joined::enter(&mut world, VIEW)];
    // half a frame holds nothing up
    let id = anna.client.request(&Request::Ping).unwrap();
    anna.client.request(&Request::Restart { name: "http" }).unwrap();
    let out = anna.client.take_output();
    world.bytes(anna.connection, &out[..out.len() - 1]);
    world.control.retire();
    world.turn();
    let heard = world.heard(anna.connection);
    anna.client.receive(&heard);
    assert!(matches!(anna.client.hear(), Ok(Some(pearwood_control::Heard::Response(heard, _))) if heard == id));
    for connection in [anna.connection, vera.connection] {
        assert_eq!(world.node.closed.get(&connection), Some(&"finish"));
    }
    world.bytes(anna.connection, &out[out.len() - 1..]);
    assert_eq!(world.node.done, Vec::<String>::new(), "what comes late is not obeyed");
    world.pass(5 * SECOND);
    assert_eq!((world.control.connections(), world.control.is_done()), (0, true));
}

fn part() -> Request<'static> {
    Request::Put { hash: [0; 32], length: 4, offset: 0, part: &[1] }
}

#[test]
fn an_image_is_dropped_with_its_connection() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    assert!(refusal(anna.ask(&mut world, &part())).contains("no image was begun on this connection"));
    assert_eq!(anna.ask(&mut world, &Request::Begin { manifest: &[1] }), Response::Number(1));
    assert_eq!(anna.ask(&mut world, &part()), Response::Done);
    // nobody else takes part in it
    let mut other = Joined::enter(&mut world, DEPLOY);
    assert!(refusal(other.ask(&mut world, &Request::Begin { manifest: &[1] })).starts_with("anna is bringing"));
    for request in [part(), Request::Lacks, Request::Deploy(Settings::default())] {
        assert!(refusal(other.ask(&mut world, &request)).contains("on this connection"));
    }
    assert_eq!(world.node.blobs.len(), 1);
    world.closed_by_client(anna.connection);
    assert_eq!((world.node.blobs.len(), world.node.done.last().unwrap().as_str()), (0, "forget"));
    assert!(world.node.said.iter().any(|line| line == "the image that anna was bringing is dropped"));
    assert_eq!(other.ask(&mut world, &Request::Begin { manifest: &[1] }), Response::Number(1));
}

#[test]
fn an_image_of_which_nothing_comes_is_dropped() {
    let mut world = World::new();
    let mut anna = Joined::enter(&mut world, DEPLOY);
    assert_eq!(anna.ask(&mut world, &Request::Begin { manifest: &[1] }), Response::Number(1));
    world.pass(59 * SECOND);
    assert_eq!(anna.ask(&mut world, &part()), Response::Done);
    // she is still there, and her image is not
    world.pass(59 * SECOND);
    assert_eq!(anna.ask(&mut world, &Request::Ping), Response::Done);
    assert_eq!(world.control.deadline(), world.now + SECOND);
    world.pass(SECOND);
    assert_eq!(world.node.done.last().unwrap(), "forget");
    assert!(refusal(anna.ask(&mut world, &part())).contains("or it was dropped"));
    assert_eq!(world.control.deadline(), world.now + 180 * SECOND);
    // what was taken is not dropped
    world.node.successor.is_other = false;
    assert_eq!(deploys(&mut world, &mut anna, false), Response::Number(1));
    world.pass(61 * SECOND);
    assert_eq!(world.node.done.iter().filter(|done| *done == "forget").count(), 1);
}

#[test]
fn the_nodes_secret_is_not_for_all_eyes() {
    let secret = "0123456789abcdef0123456789abcdef";
    let mut world = World::with_secret(secret);
    world.node.declaration = Some(format!("config.secret = \"{secret}\"\n"));
    let mut vera = Joined::enter(&mut world, VIEW);
    assert_eq!(vera.ask(&mut world, &Request::System), Response::Text("config.secret = \"…\"\n".into()));
    let mut anna = Joined::enter(&mut world, DEPLOY);
    assert_eq!(anna.ask(&mut world, &Request::System), Response::Text(format!("config.secret = \"{secret}\"\n")));
    // written otherwise than it is read
    world.node.declaration = Some("config.secret = \"0123456789abcdef0123456789abcde\\u0066\"\n".into());
    assert!(refusal(vera.ask(&mut world, &Request::System)).contains("a secret"));
}
