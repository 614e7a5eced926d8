//! Requests at the port to the node: many at once, answers that come when they are there, and boxes that ask too much.

use super::*;
use crate::boxes::log::Level;

const POWER: &str = "arrows.\"pearwood:control/node\" = { node = true }";

fn ask(ticket: u32, data: &[u8]) -> Command<'_> {
    Command::Ask { ticket, by: "anna", data }
}

fn text(response: &Response) -> &str {
    match response {
        Response::Text(text) | Response::More(text) | Response::Refused(text) => text,
        other => panic!("{other:?}"),
    }
}

/// The texts of lines of box `two`.
fn lines(response: &Response) -> Vec<String> {
    let all: Vec<manage::LogLines> = serde_json::from_str(text(response)).unwrap();
    all.into_iter().filter(|of| of.name == "two").flat_map(|of| of.lines).map(|line| line.text).collect()
}

#[test]
fn many_are_under_way_and_answered_in_order() {
    // an answer that is longer than a record
    let long = format!("{POWER}\n# {}\n", "x".repeat(150_000));
    let running = with_power(&long).unwrap();
    let mut asking = Asking::of_control(&running);
    let (system, start) = (manage::encode(&Request::System), manage::encode(&Request::Start { name: "two" }));
    let unknown = [250, 1, 2];
    let commands = [ask(3, &system), ask(1, &start), ask(2, &unknown), ask(9, &system)];
    assert!(asking.send(&commands).unwrap());
    let answers = asking.answers();
    let tickets: Vec<(u32, bool)> = answers.iter().map(|(ticket, _, is_last)| (*ticket, *is_last)).collect();
    assert_eq!(tickets, [(3, true), (1, true), (2, true), (9, true)]);
    assert_eq!((text(&answers[0].1).len() > 150_000, &answers[0].1), (true, &answers[3].1));
    assert_eq!(text(&answers[1].1), "box `two` is not stopped");
    assert_eq!(text(&answers[2].1), "this node does not know such a request");
    // a ticket is free when the last answer has come; and a request may come in parts
    let begin = manage::encode(&Request::Begin { manifest: &[1; 300_000] });
    let (first, rest) = begin.split_at(200_000);
    assert!(asking.send(&[Command::Part { ticket: 3, data: first }]).unwrap());
    assert!(asking.send(&[ask(3, rest)]).unwrap());
    let answers = asking.answers();
    assert!(matches!(&answers[..], [(3, Response::Refused(why), true)] if why.contains("image")), "{answers:?}");
}

#[test]
fn an_answer_that_is_too_long_is_none() {
    let long = format!("memory = \"6 MiB\"\n{POWER}\n# {}\n", "x".repeat(900_000));
    let running = with_power(&long).unwrap();
    let mut asking = Asking::of_control(&running);
    let refused = asking.ask("anna", &Request::System);
    assert!(text(&refused).contains("more than the control box of this node takes (768 KiB)"), "{refused:?}");
}

#[test]
fn lines_come_when_they_are_written_and_are_asked_for() {
    let running = with_power(POWER).unwrap();
    let mut asking = Asking::of_control(&running);
    let two = running.node.find("two").unwrap();
    two.note(Level::Info, "one");
    let (all, of_two) = (Request::Logs { name: None, follow: true }, Request::Logs { name: Some("two"), follow: true });
    let (all, of_two) = (manage::encode(&all), manage::encode(&of_two));
    assert!(asking.send(&[ask(1, &all), ask(2, &of_two)]).unwrap());
    let mut next = |commands: &[Command<'_>]| {
        assert!(asking.send(commands).unwrap());
        let answers = asking.answers();
        answers.into_iter().map(|(ticket, response, is_last)| (ticket, lines(&response), is_last)).collect::<Vec<_>>()
    };
    assert_eq!(next(&[]), [(1, vec!["one".into()], false), (2, vec!["one".into()], false)]);
    two.note(Level::Info, "two");
    assert!(next(&[]).is_empty(), "nobody has asked for more");
    assert_eq!(next(&[Command::Next { ticket: 2 }]), [(2, vec!["two".into()], false)]);
    assert!(next(&[Command::Next { ticket: 2 }]).is_empty());
    two.note(Level::Info, "three");
    assert_eq!(next(&[]), [(2, vec!["three".into()], false)]);
    let answers = next(&[Command::Next { ticket: 1 }]);
    assert_eq!(answers, [(1, vec!["two".into(), "three".into()], false)]);
    // one that is cancelled says so once
    assert!(asking.send(&[Command::Cancel { ticket: 1 }, Command::Cancel { ticket: 1 }]).unwrap());
    assert_eq!(asking.answers(), [(1, Response::Done, true)]);
    asking.send(&[Command::Next { ticket: 1 }, Command::Next { ticket: 2 }]).unwrap();
    two.note(Level::Info, "four");
    assert_eq!(asking.answers().len(), 1);
    // a box that starts again has asked nothing
    asking.send(&[Command::Next { ticket: 2 }]).unwrap();
    asking.control().renew();
    two.note(Level::Info, "five");
    assert!(asking.answers().is_empty());
    let refused = asking.ask("anna", &Request::Logs { name: Some("six"), follow: true });
    assert_eq!(text(&refused), "there is no box `six`; there are two, control");
}

/// Who asks again and again does not keep from others what they follow.
#[test]
fn what_is_followed_comes_between_other_answers() {
    let running = with_power(POWER).unwrap();
    let mut asking = Asking::of_control(&running);
    let two = running.node.find("two").unwrap();
    let logs = manage::encode(&Request::Logs { name: Some("two"), follow: true });
    let system = manage::encode(&Request::System);
    two.note(Level::Info, "one");
    let mut commands = vec![ask(1, &logs)];
    commands.extend((2..12).map(|ticket| ask(ticket, &system)));
    assert!(asking.send(&commands).unwrap());
    let tickets: Vec<u32> = asking.answers().iter().map(|(ticket, ..)| *ticket).collect();
    assert_eq!((tickets[..2].contains(&1), tickets.len()), (true, 11), "{tickets:?}");
}

/// More lines than one answer has: all come, in pieces, whether they are followed or not.
#[test]
fn a_long_log_comes_in_pieces() {
    let running = with_power(POWER).unwrap();
    let mut asking = Asking::of_control(&running);
    let two = running.node.find("two").unwrap();
    let control = running.node.find("control").unwrap();
    let line = |number: usize| format!("{number} {}", "x".repeat(1_000));
    for number in 0..64 {
        two.note(Level::Info, &line(number));
        control.note(Level::Info, &line(64 + number));
    }
    for follow in [true, false] {
        let data = manage::encode(&Request::Logs { name: None, follow });
        asking.send(&[ask(1, &data)]).unwrap();
        let (mut heard, mut answers) = (Vec::new(), 0);
        while heard.len() < 128 {
            for (ticket, response, is_last) in asking.answers() {
                let all: Vec<manage::LogLines> = serde_json::from_str(text(&response)).unwrap();
                heard.extend(all.into_iter().flat_map(|of| of.lines).map(|line| line.text));
                assert!((ticket, is_last) == (1, !follow && heard.len() == 128), "{} lines", heard.len());
                answers += 1;
            }
            asking.send(&[Command::Next { ticket: 1 }]).unwrap();
        }
        assert!(heard.into_iter().eq((0..128).map(line)) && answers > 1, "{answers}");
        asking.send(&[Command::Cancel { ticket: 1 }]).unwrap();
        asking.receive();
        asking.heard.clear();
    }
}

#[test]
fn a_deployment_is_watched_to_its_end() {
    let running = with_power(POWER).unwrap();
    let mut asking = Asking::of_control(&running);
    let refused = asking.ask("anna", &Request::Watch { number: 1 });
    assert_eq!(text(&refused), "there was no deployment 1");
    let source = running.node.source().replace("[box.two]\n", "[box.two]\nconfig.new = \"1\"\n");
    let image = crate::node::fixture::image(&source, &[("two", component(FOREVER)), ("control", powerful())]);
    let options = Options { by: "anna".into(), trial: 500_000_000, drain: 1_000_000_000, ..Options::default() };
    running.node.deploy(image, options).unwrap();
    let watch = manage::encode(&Request::Watch { number: 1 });
    assert!(asking.send(&[ask(1, &watch)]).unwrap());
    let mut steps = Vec::new();
    loop {
        for (ticket, response, is_last) in asking.answers() {
            assert_eq!(ticket, 1);
            let record: serde_json::Value = serde_json::from_str(text(&response)).unwrap();
            steps.push(String::from(record["step"].as_str().unwrap()));
            assert_eq!(is_last, !record["ended"].is_null());
        }
        if steps.last().is_some_and(|step| step == "done") {
            break;
        }
        asking.send(&[Command::Next { ticket: 1 }]).unwrap();
    }
    assert!(steps.len() > 2 && steps.iter().any(|step| step == "trial"), "{steps:?}");
    // and one that is over at once
    assert!(matches!(asking.ask("anna", &Request::Watch { number: 1 }), Response::Text(_)));
}

fn refused(sent: Result<bool, Refused>, why: &str) {
    assert_eq!(format!("{}", sent.unwrap_err()), format!("sent {why}"));
}

#[test]
fn who_asks_too_much_is_refused() {
    let running = with_power(POWER).unwrap();
    let asking = Asking::of_control(&running);
    let data = manage::encode(&Request::Logs { name: None, follow: true });
    let follows: Vec<Command<'_>> = (0..257).map(|ticket| ask(ticket, &data)).collect();
    refused(asking.send(&follows), "more requests at once than its attach says");
    asking.control().renew();
    let nexts = vec![Command::Next { ticket: 1 }; 2_000];
    refused(asking.send(&nexts), "a batch of more records than four for each request that its attach allows");
    refused(asking.send(&[follows[0], follows[0]]), "a request by the ticket of another that is under way");
    let part = |ticket, data| Command::Part { ticket, data };
    asking.control().renew();
    refused(asking.send(&[part(1, &data), part(2, &data)]), "parts of two requests at once");
    asking.control().renew();
    let whole = vec![0; 200_000];
    let sent: Vec<_> = (0..6).map(|_| asking.send(&[part(1, &whole)])).collect();
    assert_eq!(sent[..5], [Ok(true); 5]);
    refused(sent[5], "a request of more than 1 MiB");
    // what a later version would know is passed over
    asking.control().renew();
    let mut batch = Batch::new();
    (5..100).for_each(|kind| batch.push(kind, 1, b"?"));
    assert_eq!(asking.control().send(batch.as_bytes()), Ok(true));
}

#[test]
fn who_never_receives_is_answered_no_more() {
    let running = with_power(POWER).unwrap();
    let mut asking = Asking::of_control(&running);
    let data = manage::encode(&Request::Describe);
    // asks and takes nothing, and then cancels what it asks
    let (mut ticket, mut batches) = (0, 0);
    loop {
        let commands: Vec<Command<'_>> = (0..100)
            .flat_map(|index| [ask(ticket + index, &data), Command::Cancel { ticket: ticket + index }])
            .collect();
        if !asking.send(&commands).unwrap() {
            break;
        }
        ticket += 100;
        batches += 1;
        assert!(batches < 10, "there is room without end");
    }
    asking.receive();
    asking.heard.clear();
    let whole = manage::encode(&Request::Begin { manifest: &[0; 200_000] });
    for ticket in 0.. {
        match asking.send(&[ask(ticket, &whole)]) {
            Ok(true) => assert!(ticket < 10, "there is room without end"),
            other => {
                assert_eq!(other, Ok(false));
                break;
            }
        }
    }
    // when it receives, it has room again
    asking.receive();
    asking.heard.clear();
    assert!(asking.send(&[ask(1_000, &data)]).unwrap());
    assert_eq!(asking.answers().len(), 1);
}

/// The reason is in the log of a box that is ended.
#[test]
fn a_box_that_breaks_the_protocol_is_ended() {
    let running = with_power(POWER).unwrap();
    let asking = Asking::of_control(&running);
    let port = asking.handle.ports.iter().find(|port| port.interface() == "pearwood:control/node").unwrap();
    let mut batch = Batch::new();
    [ask(1, b""), ask(1, b"")].iter().for_each(|command| command.encode(&mut batch));
    let refused = port.send(0, batch.as_bytes()).unwrap_err();
    assert_eq!(format!("{refused}"), "sent a request by the ticket of another that is under way");
    assert!(port.holds() > 3 << 20, "all that may wait is charged before the box starts");
}
