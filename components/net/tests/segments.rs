//! Data leaves in segments of the right size, at the right time.

mod common;

use common::frames::{self, Seen, Tcp, read_tcp};
use common::wire::Quality;
use common::*;
use smoltcp::wire::TcpControl;
use wit::Batch;
use wit::tcp::Command;

/// An open connection on which nothing has been sent.
fn opened() -> (World, u32) {
    let mut world = World::new(Quality::CLEAN, 1);
    world.listen(80);
    let (_, connection) = world.connection(STACK4, 80);
    world.pass(1);
    world.sent.clear();
    (world, connection)
}

fn data(world: &World) -> Vec<Seen> {
    world.sent.iter().filter_map(|frame| read_tcp(frame)).filter(|seen| seen.payload > 0).collect()
}

#[test]
fn a_long_answer_is_split_into_full_segments_of_which_the_last_is_pushed() {
    let (mut world, connection) = opened();
    world.command(0, Command::Send { connection, data: &bytes(10_001) });
    world.turn();
    let segments = data(&world);
    let sizes: Vec<usize> = segments.iter().map(|seen| seen.payload).collect();
    assert_eq!(sizes, [1460, 1460, 1460, 1460, 1460, 1460, 1241]);
    assert!(world.sent.iter().all(|frame| frame.len() <= 1514));
    assert!(segments.windows(2).all(|w| w[1].sequence == w[0].sequence.wrapping_add(w[0].payload as u32)));
    let (last, others) = segments.split_last().unwrap();
    assert_eq!(last.control, TcpControl::Psh);
    assert!(others.iter().all(|seen| seen.control == TcpControl::None));
    // What finishes the connection comes with the last, too.
    world.command(0, Command::Send { connection, data: &bytes(3_000) });
    world.command(0, Command::Finish { connection });
    world.pass(1);
    let fins = data(&world).into_iter().filter(|seen| seen.control == TcpControl::Fin);
    assert_eq!(fins.map(|seen| seen.payload).collect::<Vec<_>>(), [80]);
    assert_eq!(data(&world).iter().map(|seen| seen.payload).sum::<usize>(), 13_001);
}

#[test]
fn the_first_flight_is_ten_segments_and_what_is_lost_comes_again_one_by_one() {
    let (mut world, connection) = opened();
    world.to_host.quality.loss = 100;
    world.command(0, Command::Send { connection, data: &bytes(60_000) });
    world.pass(0);
    let first = data(&world);
    assert_eq!(first.iter().map(|seen| seen.payload).sum::<usize>(), 14_600);
    // RFC 5681 section 3.1: a lost flight is followed by one segment, not by all of it at once.
    for _ in 0..3 {
        world.sent.clear();
        assert!(world.run(30, |world| !data(world).is_empty()));
        let again = data(&world);
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].sequence, first[0].sequence);
        assert!(again[0].payload <= 1460);
    }
    world.to_host.quality.loss = 0;
    assert!(world.run(60, |world| world.peer(0).sent.get(&connection).is_some_and(|sent| *sent >= 49_152)));
}

/// A batch of acknowledgements of the host's, each for so many bytes after the first segment's beginning.
fn acknowledgements(world: &World, first: &Seen, bytes: impl IntoIterator<Item = u32>) -> Batch {
    let mut batch = Batch::new();
    for bytes in bytes {
        batch.push(
            wit::nic::Event::FRAME,
            0,
            &frames::tcp(&Tcp {
                from: (HOST4, first.ports.1),
                to: (STACK4, 80),
                control: TcpControl::None,
                sequence: first.acknowledge.unwrap(),
                acknowledge: Some(first.sequence.wrapping_add(bytes)),
                payload: &[],
            }),
        );
    }
    assert!(world.sent.iter().any(|frame| read_tcp(frame).as_ref() == Some(first)));
    batch
}

#[test]
fn of_a_run_of_acknowledgements_the_last_counts_and_equal_ones_all_do() {
    let (mut world, connection) = opened();
    world.to_host.quality.loss = 100;
    world.command(0, Command::Send { connection, data: &bytes(60_000) });
    world.turn();
    let first = data(&world).swap_remove(0);
    let rising = acknowledgements(&world, &first, (1..=10).map(|n| n * 1460));
    world.sent.clear();
    world.stack.frames(world.now, rising.as_bytes());
    world.turn();
    // Slow start: as much again, and as much more as was acknowledged.
    assert_eq!(data(&world).iter().map(|seen| seen.payload).sum::<usize>(), 2 * 14_600);
    let second = data(&world).swap_remove(0);
    assert_eq!(second.sequence, first.sequence.wrapping_add(14_600));
    // Three that repeat one say that a segment was lost (RFC 5681 section 3.2).
    let repeated = acknowledgements(&world, &second, [0; 4]);
    world.sent.clear();
    world.stack.frames(world.now, repeated.as_bytes());
    world.turn();
    assert_eq!(data(&world), [Seen { control: TcpControl::None, ..second }]);
}
