//! Boxes that use what the node lends, and that ask for what they may not: nothing of it ends anything but the box.

use crate::{
    boxes::Phase,
    node::fixture::{Running, start_on},
    platform::fake::FakePlatform,
};
use alloc::{format, string::String, vec::Vec};

/// A box whose `run` is this code. It has `has`, `make`, `seal`, `open` and `drop` as the canonical ABI lowers them; results are written
/// to 1024, lists that are given back to 131,072. `is` traps unless two numbers are the same.
fn component(run: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "pearwood:hardware/crypto@0.2.0" (instance $crypto
                (export "key" (type $key (sub resource)))
                (type $features' (flags "here" "fast-aes"))
                (export "features" (type $features (eq $features')))
                (type $aead' (enum "aes128-gcm" "aes256-gcm" "chacha20-poly1305"))
                (export "aead" (type $aead (eq $aead')))
                (type $error' (enum "absent" "length" "invalid" "memory"))
                (export "error" (type $error (eq $error')))
                (export "has" (func (result $features)))
                (export "[static]key.make" (func (param "aead" $aead) (param "key" (list u8))
                    (result (result (own $key) (error $error)))))
                (export "[method]key.seal" (func (param "self" (borrow $key)) (param "nonce" (list u8))
                    (param "additional" (list u8)) (param "data" (list u8)) (result (result (list u8) (error $error)))))
                (export "[method]key.open" (func (param "self" (borrow $key)) (param "nonce" (list u8))
                    (param "additional" (list u8)) (param "sealed" (list u8)) (result (result (list u8) (error $error)))))))
            (alias export $crypto "key" (type $key))
            (core module $memory
                (memory (export "memory") 4)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 131072)))
            (core instance $memory (instantiate $memory))
            (core func $has (canon lower (func $crypto "has")))
            (core func $make (canon lower (func $crypto "[static]key.make") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
            (core func $seal (canon lower (func $crypto "[method]key.seal") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
            (core func $open (canon lower (func $crypto "[method]key.open") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
            (core func $drop (canon resource.drop $key))
            (core module $code
                (import "crypto" "has" (func $has (result i32)))
                (import "crypto" "make" (func $make (param i32 i32 i32 i32)))
                (import "crypto" "seal" (func $seal (param i32 i32 i32 i32 i32 i32 i32 i32)))
                (import "crypto" "open" (func $open (param i32 i32 i32 i32 i32 i32 i32 i32)))
                (import "crypto" "drop" (func $drop (param i32)))
                (import "memory" "memory" (memory 4))
                (func $is (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
                ;; what a call has answered: 0, or 1 and an error
                (func $went (param i32 i32)
                    (call $is (i32.load8_u (i32.const 1024)) (local.get 0))
                    (if (local.get 0) (then (call $is (i32.load8_u (i32.const 1028)) (local.get 1)))))
                (func $key (result i32)
                    (call $make (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 1024))
                    (call $went (i32.const 0) (i32.const 0))
                    (i32.load (i32.const 1028)))
                (func (export "run") (local $key i32) (local $count i32) {run}))
            (core instance $crypto (export "has" (func $has)) (export "make" (func $make)) (export "seal" (func $seal))
                (export "open" (func $open)) (export "drop" (func $drop)))
            (core instance $code (instantiate $code (with "crypto" (instance $crypto)) (with "memory" (instance $memory))))
            (func $run (canon lift (core func $code "run")))
            (instance $service (export "run" (func $run)))
            (export "pearwood:box/service@0.2.0" (instance $service)))"#
    );
    wat::parse_str(text).unwrap()
}

const ARROW: &str = "arrows.\"pearwood:hardware/crypto\" = { node = true }";

fn run_on(lends: bool, arrow: &str, run: &str) -> Running {
    let platform = FakePlatform::leak();
    platform.lends(lends);
    let source = format!("[system]\nname = \"test\"\n[box.user]\ncomponent = \"user\"\nmemory = \"2 MiB\"\n{arrow}\n");
    start_on(platform, &source, &[("user", component(run))], &[]).unwrap()
}

/// The box comes to the end of its code.
fn ends(lends: bool, arrow: &str, run: &str) {
    let running = run_on(lends, arrow, run);
    let life = running.until("user", |life| life.phase == Phase::Ended || life.restarts > 0);
    assert_eq!(life.reason.as_deref(), Some("returned"));
}

/// The box is ended, with that reason, and the node goes on.
fn traps(run: &str) -> String {
    let running = run_on(true, ARROW, run);
    running.until("user", |life| life.restarts == 2).reason.unwrap()
}

/// Sealing with a nonce, additional data and data of these lengths.
fn seal(nonce: usize, additional: usize, data: usize) -> String {
    format!(
        "(call $seal (local.get $key) (i32.const 2048) (i32.const {nonce}) (i32.const 2048) (i32.const {additional})
            (i32.const 4096) (i32.const {data}) (i32.const 1024))"
    )
}

/// The same of what is sealed.
fn open(place: usize, length: usize) -> String {
    format!(
        "(call $open (local.get $key) (i32.const 2048) (i32.const 12) (i32.const 2048) (i32.const 5)
            (i32.const {place}) (i32.const {length}) (i32.const 1024))"
    )
}

const OK: &str = "(call $went (i32.const 0) (i32.const 0))";

fn refused(error: u8) -> String {
    format!("(call $went (i32.const 1) (i32.const {error}))")
}

const ABSENT: u8 = 0;
const LENGTH: u8 = 1;
const INVALID: u8 = 2;
const MEMORY: u8 = 3;

#[test]
fn without_an_arrow_or_a_platform_that_lends_it_is_not_there() {
    let asks = format!(
        "(call $is (call $has) (i32.const 0))
        (call $make (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 1024)) {}",
        refused(ABSENT)
    );
    ends(true, "", &asks);
    ends(false, ARROW, &asks);
    ends(true, ARROW, "(call $is (i32.and (call $has) (i32.const 1)) (i32.const 1))");
}

#[test]
fn what_is_sealed_can_be_opened_and_nothing_else() {
    let key = "(local.set $key (call $key))";
    for length in [0, 1, 1200, 16 << 10] {
        let sealed = length + 16;
        let copy = format!("(memory.copy (i32.const 32768) (i32.const 131072) (i32.const {sealed}))");
        let first = seal(12, 5, length);
        let opens = open(32768, sealed);
        let length_is = |length| format!("(call $is (i32.load (i32.const 1032)) (i32.const {length}))");
        let (whole, part) = (length_is(sealed), length_is(length));
        let change = "(i32.store8 (i32.const 32768) (i32.xor (i32.load8_u (i32.const 32768)) (i32.const 1)))";
        let invalid = refused(INVALID);
        ends(
            true,
            ARROW,
            &format!(
                "{key} {first} {OK} {whole} {copy} {opens} {OK} {part} {change} {opens} {invalid} (call $drop (local.get $key))"
            ),
        );
    }
}

#[test]
fn lengths_that_may_not_be_are_refused() {
    let length = refused(LENGTH);
    let make = |aead: u32, bytes: usize| {
        format!("(call $make (i32.const {aead}) (i32.const 0) (i32.const {bytes}) (i32.const 1024)) {length}")
    };
    let mut run = String::new();
    for (aead, bytes) in [(0, 0), (0, 15), (0, 32), (1, 16), (1, 33), (2, 31), (2, 200_000)] {
        run.push_str(&make(aead, bytes));
    }
    run.push_str("(local.set $key (call $key))");
    for (nonce, additional, data) in
        [(0, 0, 0), (11, 0, 0), (13, 0, 0), (12, 1_025, 0), (12, 0, 18_433), (12, 0, 200_000)]
    {
        run.push_str(&format!("{} {length}", seal(nonce, additional, data)));
    }
    run.push_str(&format!("{} {OK}", seal(12, 1_024, 18_432)));
    for sealed in [0, 15, 18_449, 200_000] {
        run.push_str(&format!("{} {length}", open(4096, sealed)));
    }
    run.push_str(&format!("{} {}", open(4096, 16), refused(INVALID)));
    ends(true, ARROW, &run);
}

#[test]
fn keys_are_charged_and_given_back() {
    let memory = refused(MEMORY);
    // whoever has a key can use it, whatever is left
    let seal = seal(12, 5, 16 << 10);
    let most = format!(
        "(block $full (loop $more
            (call $make (i32.const 2) (i32.const 0) (i32.const 32) (i32.const 1024))
            (br_if $full (i32.load8_u (i32.const 1024)))
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (local.set $key (i32.load (i32.const 1028)))
            (call $is (i32.lt_u (local.get $count) (i32.const 4096)) (i32.const 1))
            (br $more)))
        {memory}
        (call $is (i32.gt_u (local.get $count) (i32.const 200)) (i32.const 1))
        {seal} {OK}
        (call $drop (local.get $key))
        (drop (call $key))"
    );
    let running = run_on(true, ARROW, &most);
    let life = running.until("user", |life| life.phase == Phase::Ended || life.restarts > 0);
    assert_eq!(life.reason.as_deref(), Some("returned"));
    assert_eq!(running.node.find("user").unwrap().memory(), 0, "all is given back with the box");
}

#[test]
fn handles_that_are_not_its_own_end_the_box_alone() {
    for run in [
        format!("(local.set $key (i32.const 999)) {}", seal(12, 0, 16)),
        format!("(local.set $key (call $key)) (call $drop (local.get $key)) {}", seal(12, 0, 16)),
        "(local.set $key (call $key)) (call $drop (local.get $key)) (call $drop (local.get $key))".into(),
        // lists outside of its memory
        "(call $make (i32.const 0) (i32.const 262140) (i32.const 16) (i32.const 1024))".into(),
        "(call $make (i32.const 0) (i32.const -1) (i32.const -1) (i32.const 1024))".into(),
        "(call $make (i32.const 7) (i32.const 0) (i32.const 16) (i32.const 1024))".into(),
    ] {
        let reason = traps(&run);
        assert!(!reason.contains("unreachable"), "{run}: {reason}");
    }
}
