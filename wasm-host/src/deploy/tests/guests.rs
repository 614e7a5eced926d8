//! Boxes for tests, as text: a handler of which there are versions, one with a state, one that others call.

use alloc::{format, string::String, vec::Vec};

const IMPORTS: &str = r#"
    (import "pearwood:box/ports@0.2.0" (instance $ports
        (type $notices' (flags "deadline" "room" "retire"))
        (export "notices" (type $notices (eq $notices')))
        (type $wake' (record (field "now" u64) (field "ready" u64) (field "notices" $notices)))
        (export "wake" (type $wake (eq $wake')))
        (export "wait" (func (param "deadline" u64) (result $wake)))
        (export "send" (func (param "port" u32) (param "peer" u32) (param "batch" (list u8)) (result bool)))
        (export "receive" (func (param "port" u32) (result (list u8))))))
    ;; what is passed in lies at 4096, one at a time
    (core module $memory
        (memory (export "memory") 3)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
    (core instance $memory (instantiate $memory))
    (core func $wait (canon lower (func $ports "wait") (memory (core memory $memory "memory"))))
    (core func $send (canon lower (func $ports "send") (memory (core memory $memory "memory"))))
    (core func $receive (canon lower (func $ports "receive")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core instance $imports
        (export "wait" (func $wait)) (export "send" (func $send)) (export "receive" (func $receive)))
"#;

/// The protocol of handlers, as far as the node looks at it, for a box that is its client or its service.
macro_rules! handler {
    ($side:literal) => {
        concat!(
            r#"
    (import "pearwood:http/handler@0.2.0" (instance
        (type $address' (record (field "high" u64) (field "low" u64)))
        (export "address" (type $address (eq $address')))
        (type $scheme' (enum "http" "https"))
        (export "scheme" (type $scheme (eq $scheme')))
        (type $request' (record
            (field "request" u32) (field "method" string) (field "target" string) (field "authority" (list u8))
            (field "remote" $address) (field "headers" (list u8)) (field "scheme" $scheme) (field "upgrade" string)))
        (export "request" (type $request (eq $request')))
        (type $body' (record (field "request" u32) (field "data" (list u8))))
        (export "body" (type $body (eq $body')))
        (type $end' (record (field "request" u32)))
        (export "end" (type $end (eq $end')))
        (type $credit' (record (field "request" u32) (field "bytes" u32)))
        (export "credit" (type $credit (eq $credit')))
        (type $response' (record (field "request" u32) (field "status" u16) (field "headers" (list u8))))
        (export "response" (type $response (eq $response')))
        (type $failed' (record (field "request" u32) (field "why" string)))
        (export "failed" (type $failed (eq $failed')))
        (type $command' (variant
            (case "request" $request) (case "body" $body) (case "end" $end) (case "credit" $credit) (case "cancel" $end)))
        (export "command" (type $command (eq $command')))
        (type $event' (variant
            (case "response" $response) (case "body" $body) (case "end" $end) (case "credit" $credit)
            (case "failed" $failed)))
        (export "event" (type $event (eq $event')))
        (type $asks' (enum "request"))
        (export "asks" (type $asks (eq $asks')))
        (type $ends' (enum "end" "failed"))
        (export "ends" (type $ends (eq $ends')))
        (type $fails' (enum "failed"))
        (export "fails" (type $fails (eq $fails')))
        (type $answers' (enum "response"))
        (export "answers" (type $answers (eq $answers')))
        (type $metered' (record
            (field "asks" $asks) (field "ends" $ends) (field "fails" $fails) (field "answers" $answers)))
        (export "metered" (type $metered (eq $metered')))
        (type $protocol' (record (field "command" $command) (field "event" $event) (field "metered" $metered)))
        (export "protocol" (type $protocol (eq $protocol')))
        (export ""#,
            $side,
            r#"" (func (param "protocol" (list $protocol)) (result u32)))))
"#
        )
    };
}

const SERVICE: &str = handler!("service");

/// What a handler does beyond answering.
#[derive(Clone)]
pub struct Handler<'a> {
    /// the body of its answers
    pub version: u8,
    pub status: u16,
    /// code before it first waits
    pub begin: &'a str,
    /// code at each request
    pub at_request: &'a str,
    /// code by which it knows that it is done, when it is to retire; it has `$attached`, the number of its peers
    pub done: &'a str,
    /// exports and their functions
    pub more: &'a str,
    pub more_core: &'a str,
}

pub const HANDLER: Handler<'static> = Handler {
    version: b'1',
    status: 200,
    begin: "",
    at_request: "",
    done: "(i32.eqz (global.get $attached))",
    more: "",
    more_core: "",
};

impl Handler<'_> {
    pub fn component(&self) -> Vec<u8> {
        wat::parse_str(self.text()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// It answers a request when it has come whole, with its version or, if it counts, with its count.
    fn text(&self) -> String {
        let Handler { version, status, begin, at_request, done, more, more_core } = self;
        // kind << 24 | length
        let (response, body, end) = (1 << 24 | 6, 2 << 24 | 5, 3 << 24);
        format!(
            r#"(component {SERVICE} {IMPORTS}
            (core module $code
                (import "imports" "wait" (func $wait (param i64 i32)))
                (import "imports" "send" (func $send (param i32 i32 i32 i32) (result i32)))
                (import "imports" "receive" (func $receive (param i32 i32)))
                (import "memory" "memory" (memory 3))
                (global $attached (mut i32) (i32.const 0))
                (global $peer (mut i32) (i32.const 0))
                (global $retiring (mut i32) (i32.const 0))
                (global $version (mut i32) (i32.const {version}))
                (func $answer (param $id i32)
                    {at_request}
                    (i32.store (i32.const 0x10000) (i32.const {response}))
                    (i32.store (i32.const 0x10004) (local.get $id))
                    (i32.store16 (i32.const 0x10008) (i32.const {status}))
                    (i32.store (i32.const 0x1000a) (i32.const 0))
                    (i32.store (i32.const 0x1000e) (i32.const {body}))
                    (i32.store (i32.const 0x10012) (local.get $id))
                    (i32.store (i32.const 0x10016) (i32.const 1))
                    (i32.store8 (i32.const 0x1001a) (global.get $version))
                    (i32.store (i32.const 0x1001b) (i32.const {end}))
                    (i32.store (i32.const 0x1001f) (local.get $id))
                    (drop (call $send (i32.const 0) (global.get $peer) (i32.const 0x10000) (i32.const 0x23))))
                (func $record (param $kind i32) (param $id i32)
                    (if (i32.eq (local.get $kind) (i32.const 240)) (then (global.set $peer (local.get $id))))
                    (if (i32.eq (local.get $kind) (i32.const 241)) (then
                        (global.set $attached (i32.add (global.get $attached) (i32.const 1)))))
                    (if (i32.eq (local.get $kind) (i32.const 242)) (then
                        (global.set $attached (i32.sub (global.get $attached) (i32.const 1)))))
                    (if (i32.eq (local.get $kind) (i32.const 3)) (then (call $answer (local.get $id)))))
                (func (export "run")
                    (local $at i32) (local $end i32) (local $head i32)
                    {begin}
                    (loop $again
                        (call $wait (i64.const -1) (i32.const 0))
                        (global.set $retiring (i32.or (global.get $retiring)
                            (i32.and (i32.load8_u (i32.const 16)) (i32.const 4))))
                        (call $receive (i32.const 0) (i32.const 16))
                        (local.set $at (i32.load (i32.const 16)))
                        (local.set $end (i32.add (local.get $at) (i32.load (i32.const 20))))
                        (block $read (loop $next
                            (br_if $read (i32.ge_u (local.get $at) (local.get $end)))
                            (local.set $head (i32.load (local.get $at)))
                            (call $record (i32.shr_u (local.get $head) (i32.const 24)) (i32.load offset=4 (local.get $at)))
                            (local.set $at (i32.add (i32.add (local.get $at) (i32.const 8))
                                (i32.and (local.get $head) (i32.const 0xffffff))))
                            (br $next)))
                        (br_if $again (i32.eqz (i32.and (i32.ne (global.get $retiring) (i32.const 0)) {done})))))
                {more_core})
            (core instance $code (instantiate $code
                (with "imports" (instance $imports)) (with "memory" (instance $memory))))
            (func $run (canon lift (core func $code "run")))
            (instance $service (export "run" (func $run)))
            (export "pearwood:box/service@0.2.0" (instance $service))
            {more})"#
        )
    }
}

/// A handler that answers with the number of its requests, and hands it over. `restored` is code that has the state's
/// place, `$at`, and leaves 0 if it takes it.
pub fn counting(restored: &str) -> Vec<u8> {
    Handler { more_core: &handover(restored), ..COUNTING }.component()
}

fn handover(restored: &str) -> String {
    format!(
        r#"(func (export "save") (result i32)
            (i32.store8 (i32.const 0x20000) (global.get $version))
            (i32.store (i32.const 0x20004) (i32.const 0x20000))
            (i32.store (i32.const 0x20008) (i32.const 1))
            (i32.const 0x20004))
        (func (export "restore") (param $at i32) (param i32) (result i32)
            (i32.store (i32.const 0x20010) {restored})
            (i32.store (i32.const 0x20014) (i32.const 0x20020))
            (i32.store (i32.const 0x20018) (i32.const 2))
            (i32.store16 (i32.const 0x20020) (i32.const 0x6f6e))
            (i32.const 0x20010))"#
    )
}

/// The same, which hands its count over as soon as it is to retire, and then finishes what is open.
pub fn giving(restored: &str) -> Vec<u8> {
    let import = r#"(component
        (import "pearwood:box/heir@0.2.0" (instance $heir (export "give" (func (param "state" (list u8))))))"#;
    let memory = "(core instance $memory (instantiate $memory))";
    let lower = r#"
        (core func $give (canon lower (func $heir "give") (memory (core memory $memory "memory"))))
        (core instance $heirs (export "give" (func $give)))"#;
    let handover = handover(restored);
    let core = format!("(global $given (mut i32) (i32.const 0)) {handover}");
    let done = r#"(block (result i32)
        (if (i32.and (i32.ne (global.get $retiring) (i32.const 0)) (i32.eqz (global.get $given))) (then
            (global.set $given (i32.const 1))
            (i32.store8 (i32.const 0x20000) (global.get $version))
            (call $give (i32.const 0x20000) (i32.const 1))))
        (i32.eqz (global.get $attached)))"#;
    let text = Handler { done, more_core: &core, ..COUNTING }.text();
    let text = text.replacen("(component", import, 1).replacen(memory, &format!("{memory}{lower}"), 1);
    let text = text.replace("(with \"imports\"", "(with \"heirs\" (instance $heirs)) (with \"imports\"");
    let function = "(import \"heirs\" \"give\" (func $give (param i32 i32)))\n(import \"imports\" \"wait\"";
    let text = text.replace("(import \"imports\" \"wait\"", function);
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

const COUNTING: Handler<'static> = Handler {
    version: 0,
    at_request: "(global.set $version (i32.add (global.get $version) (i32.const 1)))",
    done: "(i32.const 1)",
    more: HANDOVER,
    ..HANDLER
};

/// Takes the count.
pub const TAKES: &str = "(global.set $version (i32.load8_u (local.get $at))) (i32.const 0)";

const HANDOVER: &str = r#"
    (func $save (result (list u8)) (canon lift (core func $code "save") (memory (core memory $memory "memory"))))
    (func $restore (param "state" (list u8)) (result (result (error string)))
        (canon lift (core func $code "restore")
            (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (instance $handover (export "save" (func $save)) (export "restore" (func $restore)))
    (export "pearwood:box/handover@0.2.0" (instance $handover))"#;

/// A box that says whether it is well: `check` is code that leaves 0 if it is.
pub fn checked(check: &str, version: u8) -> Vec<u8> {
    let core = format!(
        r#"(func (export "check") (result i32)
            (i32.store (i32.const 0x20010) {check})
            (i32.store (i32.const 0x20014) (i32.const 0x20020))
            (i32.store (i32.const 0x20018) (i32.const 4))
            (i32.store (i32.const 0x20020) (i32.const 0x6b636973))
            (i32.const 0x20010))"#
    );
    let more = r#"
        (func $check (result (result (error string)))
            (canon lift (core func $code "check") (memory (core memory $memory "memory"))))
        (instance $health (export "check" (func $check)))
        (export "pearwood:box/health@0.2.0" (instance $health))"#;
    Handler { version, more, more_core: &core, ..HANDLER }.component()
}

/// A WASI 0.2 handler that says whether it is well, by code that leaves 0 if it is. It traps unless it was asked before,
/// and answers nothing.
pub fn wasi_checked(check: &str, more: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "wasi:http/types@0.2.3" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $out))
            (core module $code
                (memory (export "memory") 1)
                (global $asked (mut i32) (i32.const 0))
                (func (export "check") (result i32)
                    (if (global.get $asked) (then unreachable))
                    (global.set $asked (i32.const 1))
                    (i32.store (i32.const 16) {check})
                    (i32.store (i32.const 20) (i32.const 32))
                    (i32.store (i32.const 24) (i32.const 4))
                    (i32.store (i32.const 32) (i32.const 0x6b636973))
                    (i32.const 16))
                (func (export "handle") (param i32 i32)
                    (if (i32.eqz (global.get $asked)) (then unreachable)))
                (func (export "save") (result i32) (i32.const 0))
                (func (export "restore") (param i32 i32) (result i32) (i32.const 64))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
            (core instance $code (instantiate $code))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
                (canon lift (core func $code "handle")))
            (func $check (result (result (error string)))
                (canon lift (core func $code "check") (memory (core memory $code "memory"))))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.3" (instance $handler))
            (instance $health (export "check" (func $check)))
            (export "pearwood:box/health@0.2.0" (instance $health))
            {more})"#
    );
    wat::parse_str(text).unwrap()
}

/// What the test stands in for: a client of handlers.
pub fn client() -> Vec<u8> {
    wat::parse_str(format!("(component {})", handler!("client"))).unwrap()
}

/// A box that others call: it counts its calls, `by` at each, and hands the count over.
pub fn counter(by: u32) -> Vec<u8> {
    counter_with(by, "(global.set $count (i32.load (local.get $at))) (i32.const 64)")
}

/// `restore` is code that has the state's place, `$at`, and leaves the place of its result.
pub fn counter_with(by: u32, restore: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $code
                (memory (export "memory") 1)
                (global $count (mut i32) (i32.const 0))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
                (func (export "next") (result i32)
                    (global.set $count (i32.add (global.get $count) (i32.const {by})))
                    (global.get $count))
                (func (export "save") (result i32)
                    (i32.store (i32.const 0) (global.get $count))
                    (i32.store (i32.const 8) (i32.const 0))
                    (i32.store (i32.const 12) (i32.const 4))
                    (i32.const 8))
                (func (export "restore") (param $at i32) (param i32) (result i32) {restore}))
            (core instance $code (instantiate $code))
            (func $next (result u32) (canon lift (core func $code "next")))
            (instance $api (export "next" (func $next)))
            (export "acme:count/api@0.1.0" (instance $api))
            (func $save (result (list u8)) (canon lift (core func $code "save") (memory (core memory $code "memory"))))
            (func $restore (param "state" (list u8)) (result (result (error string)))
                (canon lift (core func $code "restore")
                    (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
            (instance $handover (export "save" (func $save)) (export "restore" (func $restore)))
            (export "pearwood:box/handover@0.2.0" (instance $handover)))"#
    );
    wat::parse_str(text).unwrap()
}

/// The same count by a function of another type: of two steps at once.
pub fn other_counter() -> Vec<u8> {
    let text = r#"(component
        (core module $code
            (global $count (mut i32) (i32.const 0))
            (func (export "next") (param i32) (result i32)
                (global.set $count (i32.add (global.get $count) (local.get 0)))
                (global.get $count)))
        (core instance $code (instantiate $code))
        (func $next (param "by" u32) (result u32) (canon lift (core func $code "next")))
        (instance $api (export "next" (func $next)))
        (export "acme:count/api@0.1.0" (instance $api)))"#;
    wat::parse_str(text).unwrap()
}

/// A handler that answers with what it counts there, and counts before it is ready.
pub fn other_asking() -> Vec<u8> {
    let imports = r#"
        (import "acme:count/api@0.1.0" (instance $count (export "next" (func (param "by" u32) (result u32)))))
        (core func $next (canon lower (func $count "next")))
        (core instance $counts (export "next" (func $next)))"#;
    let count = "(global.set $version (call $next (i32.const 2)))";
    let text = Handler { begin: count, at_request: count, ..HANDLER }.text();
    with_counts(text, imports, "(func $next (param i32) (result i32))")
}

fn with_counts(text: String, imports: &str, ty: &str) -> Vec<u8> {
    let text = text.replacen("(component", &format!("(component {imports}"), 1);
    let text = text.replace("(with \"imports\"", "(with \"counts\" (instance $counts)) (with \"imports\"");
    let import = format!("(import \"counts\" \"next\" {ty})\n(import \"imports\" \"wait\"");
    let text = text.replace("(import \"imports\" \"wait\"", &import);
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A handler that has sectors of a disk.
pub fn keeping(version: u8) -> Vec<u8> {
    keeping_as(Handler { version, ..HANDLER })
}

pub fn keeping_as(handler: Handler<'_>) -> Vec<u8> {
    let disk = r#"(component
        (import "pearwood:hardware/block@0.2.0" (instance
            (type $command' (variant (case "read") (case "write") (case "flush")))
            (export "command" (type $command (eq $command')))
            (type $protocol' (record (field "command" $command)))
            (export "protocol" (type $protocol (eq $protocol')))
            (export "client" (func (param "protocol" (list $protocol)) (result u32)))))"#;
    let text = handler.text().replacen("(component", disk, 1);
    // ports of clients come before those of services
    let text = ["send", "receive"].iter().fold(text, |text, call| {
        text.replace(&format!("(call ${call} (i32.const 0)"), &format!("(call ${call} (i32.const 1)"))
    });
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A handler that answers with what it counts at another box.
pub fn asking() -> Vec<u8> {
    let imports = r#"
        (import "acme:count/api@0.1.0" (instance $count (export "next" (func (result u32)))))
        (core func $next (canon lower (func $count "next")))
        (core instance $counts (export "next" (func $next)))"#;
    let text = Handler { at_request: "(global.set $version (call $next))", ..HANDLER }.text();
    with_counts(text, imports, "(func $next (result i32))")
}
