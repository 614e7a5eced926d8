//! Whose fault it is that a request through a gateway fails: a server's, the node's, or that of whoever asks.

use crate::gateway::*;
use crate::sides::*;
use wit::http::Command;

fn nobody_is_left_out(world: &World) {
    assert!(world.sides.log.iter().all(|line| !line.contains("left out")), "{:?}", world.sides.log);
}

/// A GET whose body is open is not sent on, as it is not known what it is: a server has no part in what becomes of it.
#[test]
fn a_request_that_does_not_go_on_is_no_servers_fault() {
    let mut world = world(&[]);
    world.says(&Command::Request { request: 1, head: visits("GET", b"") });
    world.turn();
    let link = world.connects();
    world.passes(60 * SECOND);
    assert_eq!((world.status(1), world.wanted().len()), (Some(408), 0), "and no other is asked");
    assert!(world.sides.hosts[&link].is_aborted);
    for (request, why) in [(2, ""), (3, "reset")] {
        world.says(&Command::Request { request, head: visits("GET", b"") });
        world.turn();
        // a server closes what says nothing
        for _ in 0..2 {
            let link = world.connects();
            world.closes(link, why);
        }
        assert_eq!((world.status(request), world.wanted().len()), (Some(502), 0));
    }
    nobody_is_left_out(&world);
}
