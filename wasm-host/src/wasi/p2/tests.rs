//! What no honest guest does: nothing of it is more than an error or a trap, and all that was charged is given back.

use super::{
    bindings::wasi::{
        clocks::monotonic_clock,
        http::{
            outgoing_handler,
            types::{
                self, HostFields, HostOutgoingBody, HostOutgoingRequest, HostOutgoingResponse, HostRequestOptions,
            },
        },
        io::{poll, streams},
        random::random,
    },
    poll::Pollable,
    streams::{InputStream, OutputStream, StreamError},
};
use crate::{
    boxes::{BoxHandle, Budget, Charge, Parts, State},
    executor::Executor,
    plan::BoxPlan,
    platform::fake::FakePlatform,
};
use alloc::{string::String, sync::Arc, vec, vec::Vec};
use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};
use wasmtime::component::Resource;

const MEMORY: u64 = 1 << 20;

fn state() -> (State, Arc<Budget>) {
    let config = vec![("key".into(), "value".into())];
    let spec = BoxPlan { config, ..BoxPlan::new("guest", "guest") };
    let platform = FakePlatform::leak();
    let handle = BoxHandle::new(spec, Parts::default(), platform);
    let budget = Budget::new(MEMORY);
    let state = State::within(Charge::none(&budget), &handle, platform, &Executor::new().timers().timer());
    (state, budget)
}

/// The outcome of a future that has no need to wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}

/// The same handle once more, as a guest that uses it twice would pass it.
fn again<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_own(resource.rep())
}

fn fields(state: &mut State) -> Resource<crate::wasi::http::Fields> {
    HostFields::new(state).unwrap()
}

#[test]
fn handles_that_are_none_are_errors() {
    let (mut state, _) = state();
    let fields = fields(&mut state);
    assert!(HostFields::drop(&mut state, again(&fields)).is_ok());
    assert!(HostFields::drop(&mut state, again(&fields)).is_err(), "twice");
    assert!(HostFields::get(&mut state, fields, String::new()).is_err(), "after it was dropped");
    assert!(HostFields::entries(&mut state, Resource::new_own(u32::MAX)).is_err());
    let pollable = monotonic_clock::Host::subscribe_duration(&mut state, 5).unwrap();
    // of another type
    let disguised: Resource<InputStream> = Resource::new_own(pollable.rep());
    assert!(streams::HostInputStream::subscribe(&mut state, disguised).is_err());
}

#[test]
fn polling() {
    let (mut state, _) = state();
    assert!(now(poll::Host::poll(&mut state, Vec::new())).is_err(), "an empty list");
    let ready = state.wasi.push(Pollable::Ready).unwrap();
    let later = monotonic_clock::Host::subscribe_duration(&mut state, u64::MAX).unwrap();
    let list = vec![again(&later), again(&ready), again(&ready)];
    assert_eq!(now(poll::Host::poll(&mut state, list)).unwrap(), [1, 2], "the same one twice");
    let list = (0..2_000).map(|_| again(&ready)).collect();
    assert!(now(poll::Host::poll(&mut state, list)).is_err(), "a huge list");
    poll::HostPollable::drop(&mut state, again(&ready)).unwrap();
    assert!(now(poll::Host::poll(&mut state, vec![again(&ready)])).is_err(), "a dropped one");
    assert!(!poll::HostPollable::ready(&mut state, later).unwrap());
}

#[test]
fn resources_are_counted_and_fields_charged() {
    let (mut state, budget) = state();
    let made = (0..).take_while(|_| HostFields::new(&mut state).is_ok()).count();
    assert!(made > 4_000, "G2: as many as its memory pays for, and not {made}");
    drop(state);
    let (mut state, budget) = (self::state().0, budget);
    assert_eq!(budget.used(), 0);
    let many = fields(&mut state);
    let refused = (0..10_000).position(|_| {
        let appended = HostFields::append(&mut state, again(&many), "name".into(), vec![b'x'; 1_000]);
        appended.is_err()
    });
    assert!(refused.is_some_and(|count| count < 140), "{refused:?}");
    let full = state.wasi.budget.used();
    // copies share until they differ, and then are charged
    let copies = (0..100).map(|_| HostFields::clone(&mut state, again(&many)).unwrap()).collect::<Vec<_>>();
    assert!(state.wasi.budget.used() - full < 100 << 10, "only the handles");
    let changed = copies.iter().take_while(|copy| {
        let changed = HostFields::set(&mut state, again(copy), "name".into(), vec![b"y".to_vec()]);
        changed.is_ok()
    });
    let _ = changed.count();
    assert!(state.wasi.budget.used() <= MEMORY);
    let budget = state.wasi.budget.clone();
    drop(state);
    assert_eq!(budget.used(), 0, "all is given back");
}

#[test]
fn children_outlive_their_parents() {
    let (mut state, _) = state();
    let headers = fields(&mut state);
    let response = HostOutgoingResponse::new(&mut state, again(&headers)).unwrap();
    assert!(HostFields::has(&mut state, headers, "a".into()).is_err(), "it was given away");
    let body = HostOutgoingResponse::body(&mut state, again(&response)).unwrap().unwrap();
    assert!(HostOutgoingResponse::body(&mut state, again(&response)).unwrap().is_err(), "once");
    let stream = HostOutgoingBody::write(&mut state, again(&body)).unwrap().unwrap();
    assert!(HostOutgoingBody::write(&mut state, again(&body)).unwrap().is_err(), "once");
    let pollable = streams::HostOutputStream::subscribe(&mut state, again(&stream)).unwrap();
    HostOutgoingResponse::drop(&mut state, again(&response)).unwrap();
    HostOutgoingBody::drop(&mut state, again(&body)).unwrap();
    assert!(poll::HostPollable::ready(&mut state, again(&pollable)).unwrap(), "it is closed");
    let closed = streams::HostOutputStream::check_write(&mut state, again(&stream));
    assert!(matches!(closed, Err(StreamError::Closed)));
    let closed = now(streams::HostOutputStream::blocking_write_and_flush(&mut state, again(&stream), vec![1]));
    assert!(matches!(closed, Err(StreamError::Closed)));
    streams::HostOutputStream::drop(&mut state, stream).unwrap();
    now(poll::HostPollable::block(&mut state, again(&pollable))).unwrap();
    assert!(HostOutgoingBody::finish(&mut state, body, None).is_err(), "a dropped body");
}

#[test]
fn streams_take_what_they_permit() {
    let (mut state, _) = state();
    let text = state.wasi.push(OutputStream::Log(crate::wasi::context::Text::Out)).unwrap();
    let permit = streams::HostOutputStream::check_write(&mut state, again(&text)).ok().unwrap();
    let write = |state: &mut State, length: u64| {
        streams::HostOutputStream::write(state, again(&text), vec![b'x'; length as usize])
    };
    assert!(write(&mut state, permit).is_ok());
    assert!(matches!(write(&mut state, permit + 1), Err(StreamError::Trap(_))));
    let zeroes = streams::HostOutputStream::write_zeroes(&mut state, again(&text), u64::MAX);
    assert!(matches!(zeroes, Err(StreamError::Trap(_))));
    let zeroes = streams::HostOutputStream::blocking_write_zeroes_and_flush(&mut state, again(&text), u64::MAX);
    assert!(matches!(now(zeroes), Err(StreamError::Trap(_))));
    let empty = state.wasi.push(InputStream::Empty).unwrap();
    let read = streams::HostInputStream::read(&mut state, again(&empty), u64::MAX);
    assert!(matches!(read, Err(StreamError::Closed)));
    let spliced = streams::HostOutputStream::splice(&mut state, again(&text), empty, u64::MAX);
    assert!(matches!(spliced, Err(StreamError::Closed)));
    assert!(random::Host::get_random_bytes(&mut state, u64::MAX).is_err());
    assert_eq!(random::Host::get_random_bytes(&mut state, 7).unwrap().len(), 7);
}

#[test]
fn requests_are_held_to_what_requests_can_be() {
    let (mut state, _) = state();
    let headers = fields(&mut state);
    let request = HostOutgoingRequest::new(&mut state, headers).unwrap();
    let target = |state: &mut State, text: &str| {
        HostOutgoingRequest::set_path_with_query(state, again(&request), Some(text.into())).unwrap()
    };
    for bad in ["x", "/a b", "/a\r\nb: c", "/a#b", "/é"] {
        assert!(target(&mut state, bad).is_err(), "{bad:?}");
    }
    assert!(target(&mut state, "/a?b").is_ok() && target(&mut state, "").is_ok());
    let huge = alloc::format!("/{}", "a".repeat(2 << 20));
    assert!(target(&mut state, &huge).is_err(), "more than its memory allows");
    for bad in ["", "a/b", "a b", "a\r\n", "u@h"] {
        let set = HostOutgoingRequest::set_authority(&mut state, again(&request), Some(bad.into())).unwrap();
        assert!(set.is_err(), "{bad:?}");
    }
    for bad in ["", "GET /", &"X".repeat(256)] {
        let method = types::Method::Other(bad.into());
        assert!(HostOutgoingRequest::set_method(&mut state, again(&request), method).unwrap().is_err(), "{bad:?}");
    }
    HostOutgoingRequest::set_authority(&mut state, again(&request), Some("x".into())).unwrap().unwrap();
    let options = HostRequestOptions::new(&mut state).unwrap();
    let sent = outgoing_handler::Host::handle(&mut state, again(&request), Some(options)).unwrap();
    assert!(matches!(sent, Err(types::ErrorCode::HttpRequestDenied)), "the box has no arrow");
    assert!(outgoing_handler::Host::handle(&mut state, request, None).is_err(), "it was given away");
}
