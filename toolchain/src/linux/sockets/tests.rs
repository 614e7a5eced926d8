//! TCP of the stand-in for `net`, between a client box's port and real sockets.

use super::{PortMap, Service, Tokens};
use mio::{Events, Poll};
use std::{io::Write, net::TcpStream, sync::Arc, time::Duration};
use wasm_host::arrows::{
    Declared, Kinds, TCP,
    channel::{Arrow, End, Port, Setup, Signal},
};
use wit::{
    Batch, INITIAL_CREDIT, Incoming,
    tcp::{Command, Event},
};

/// Far more than anything here takes on a busy machine.
const ROUNDS: usize = 600;
const ROUND: Duration = Duration::from_millis(100);

struct World {
    service: Service,
    client: Arc<Port>,
    poll: Poll,
    tokens: Tokens,
}

impl World {
    fn new() -> Self {
        let port = |end| {
            let protocol = Declared { name: format!("{TCP}@0.2"), kinds: Kinds::default() }.into();
            let signal = &Arc::<Signal>::default();
            let limit = 2 * wit::MAX_BATCH;
            Port::new(Setup { protocol, end, number: 0, owner: &"box".into(), signal, limit, services: Vec::new() })
        };
        let (client, held) = (port(End::Client), port(End::Service));
        Arrow::join(&client, &held, Vec::new(), None, None);
        held.attach();
        client.attach();
        let ports = PortMap::from([(80, ([127, 0, 0, 1], 0).into())]);
        World { service: Service::new(held, ports), client, poll: Poll::new().unwrap(), tokens: Tokens::default() }
    }

    fn command(&self, command: Command<'_>) {
        let mut batch = Batch::new();
        command.encode(&mut batch);
        assert!(self.client.send(0, batch.as_bytes()).unwrap());
    }

    fn turn(&mut self) {
        self.service.turn(self.poll.registry(), &mut self.tokens);
    }

    /// Turns, and waits for sockets, until what the client hears is enough.
    fn until(&mut self, mut enough: impl FnMut(Event<'_>) -> bool) {
        for _ in 0..ROUNDS {
            self.turn();
            let mut received = self.client.receive();
            for incoming in wit::incoming(received.buffer()).map(Result::unwrap) {
                if let Incoming::Record(_, record) = incoming
                    && enough(Event::decode(&record).unwrap())
                {
                    return;
                }
            }
            let mut events = Events::with_capacity(64);
            self.poll.poll(&mut events, Some(ROUND)).unwrap();
            events.iter().for_each(|event| self.service.note(event));
        }
        panic!("the client waits in vain");
    }
}

#[test]
fn what_has_come_is_passed_on_though_it_is_more_than_a_batch() {
    const CONNECTIONS: usize = 12;
    let mut world = World::new();
    world.command(Command::Listen { port: 80, backlog: 64 });
    world.until(|event| matches!(event, Event::Listening { port: 80 }));
    let address = world.service.listeners[&80].socket.local_addr().unwrap();
    // All that its credit lets through is there before the service looks.
    let mut remotes: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
    remotes.iter_mut().for_each(|remote| remote.write_all(&[7; INITIAL_CREDIT as usize]).unwrap());
    let mut missing = CONNECTIONS * INITIAL_CREDIT as usize;
    world.until(|event| {
        if let Event::Data { data, .. } = event {
            missing -= data.len();
        }
        missing == 0
    });
}

#[test]
fn a_client_that_retires_is_let_go_when_nothing_is_open() {
    let mut world = World::new();
    world.command(Command::Listen { port: 80, backlog: 64 });
    world.until(|event| matches!(event, Event::Listening { port: 80 }));
    let arrow = world.client.arrows().remove(0);
    arrow.retire(End::Service);
    world.turn();
    assert!(arrow.is_joined(), "it listens");
    world.command(Command::Unlisten { port: 80 });
    world.turn();
    assert!(!arrow.is_joined());
}

#[test]
fn a_client_that_takes_no_answers_is_answered_no_more() {
    let mut world = World::new();
    for _ in 0..200 {
        let mut batch = Batch::new();
        (0..1_000).for_each(|_| Command::Listen { port: 80, backlog: 1 }.encode(&mut batch));
        assert!(world.client.send(0, batch.as_bytes()).unwrap());
        world.turn();
    }
    let waiting = world.service.clients.waiting_for(0).unwrap();
    assert!(waiting < 2 * wit::MAX_BATCH, "{waiting} bytes");
    world.until(|event| matches!(event, Event::Listening { port: 80 }));
}
