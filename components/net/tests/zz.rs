mod common;
use common::wire::*;
use common::*;
use wit::tcp::*;
use pearwood_net::Settings;
#[test]
fn zz(){
    let mut world = World::with(Quality::CLEAN, 1, &Settings::read([("hostname", "pear")]).unwrap());
    world.pass(1);
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0,0,0,0,0,0,0,0, 3, 4, 64, 0xc0, 0,1,0,0, 0,1,0,0, 0,0,0,0];
    message.extend_from_slice(&"fd00::".parse::<std::net::Ipv6Addr>().unwrap().octets());
    let f = common::frames::icmp6("fe80::1", "ff02::1", &message);
    world.to_stack.send(world.now, &f);
    world.pass(1);
    let to = Endpoint { address: "2001:db8::1".parse().unwrap(), port: 80 };
    world.command(0, Command::Connect { ticket: 1, to });
    world.sent.clear(); world.host_sent.clear();
    world.run(3, |world| { for f in world.sent.drain(..) {println!("S {} {:02x?}", world.now, f);} for f in world.host_sent.drain(..) {println!("H {} {:02x?}", world.now, f);} false});
    println!("{:?}", world.tcp);
    panic!();
}
