use crate::{emit, model};
use wit_parser::Resolve;

const SIDES: &str = "client: func(protocol: list<protocol>) -> u32;";

fn read(body: &str, types: &[(&str, &str)]) -> Result<String, String> {
    let mut resolve = Resolve::default();
    resolve.push_str("shop.wit", &format!("package test:shop@1.0.0; interface orders {{ {body} }}")).expect("WIT");
    let types: Vec<_> = types.iter().map(|(wit, rust)| (wit.to_string(), rust.to_string())).collect();
    model::read(&resolve, "test:shop/orders", &types).map(|model| emit::source(&model, "::wit", &[]))
}

/// The error of a protocol whose only command is `case`.
fn refused(types: &str, case: &str) -> String {
    let body = format!("{types} variant command {{ {case} }} record protocol {{ command: command }} {SIDES}");
    read(&body, &[]).expect_err("an error")
}

#[test]
fn an_error_names_interface_type_and_field() {
    let cases = [
        ("resource r; record x { a: u32, b: option<r> }", "x(x)", "command.x.b: a handle cannot go into a record"),
        ("record x { a: u32, b: stream<u8> }", "x(x)", "command.x.b: a stream cannot go into a record"),
        ("record x { a: list<future> }", "x(x)", "command.x.a: a future cannot go into a record"),
        ("record x { a: result<u8> }", "x(x)", "command.x.a: a result cannot go into a record"),
        ("record y { c: result } record x { a: u32, b: list<y> }", "x(x)", "command.x.b (y).c: a result cannot"),
        ("variant v { one(result) } record x { b: v }", "x(x)", "command.x.b (v).one: a result cannot"),
        ("", "x(option<u32>)", "command.x: what a case carries must be a record, a number"),
        ("enum e { a } ", "x(e)", "command.x: what a case carries must be a record, a number"),
        ("", "x(list<u16>)", "command.x: what a case carries must be a record, a number"),
        ("", "unknown", "command.unknown: that is what records of later versions are called"),
        ("record command-x { a: u64 } record y { a: result }", "y(y)", "command.y.a"),
    ];
    for (types, case, expected) in cases {
        let error = refused(types, case);
        assert!(error.starts_with("test:shop/orders: ") && error.contains(expected), "{types} {case}: {error}");
    }
}

#[test]
fn counts_have_bounds() {
    let many = |count: usize| (0..count).map(|place| format!("x{place}")).collect::<Vec<_>>().join(", ");
    assert!(refused("", &many(240)).contains("command has 240 cases: the most is 239"));
    let flags = format!("flags f {{ {} }} record x {{ a: u32, b: f }}", many(33));
    assert!(refused(&flags, "x(x)").contains("command.x.b (f) has 33 cases: the most is 32"));
    let cases = format!("enum e {{ {} }} record x {{ a: u32, b: e }}", many(257));
    assert!(refused(&cases, "x(x)").contains("command.x.b (e) has 257 cases: the most is 256"));
}

#[test]
fn what_is_no_protocol_is_refused() {
    let cases = [
        ("record protocol { command: u32 }".to_string(), "it has no function `client` or `service`"),
        (format!("type protocol = u32; {SIDES}"), "where `protocol` is a record of the interface"),
        (format!("enum protocol {{ a }} {SIDES}"), "`protocol` must be a record"),
        (format!("record protocol {{ command: u32 }} {SIDES}"), "protocol.command must be a variant"),
        (format!("record protocol {{ other: u32 }} {SIDES}"), "protocol.other: the fields are `command`"),
        (format!("record protocol {{ attach: u32 }} {SIDES}"), "protocol.attach must be a record"),
        (
            "record protocol { a: u32 } client: func(protocol: protocol) -> u32;".to_string(),
            "`client` must be `func(protocol: list<protocol>) -> u32`",
        ),
        (
            "record protocol { a: u32 } service: func(protocol: list<protocol>);".to_string(),
            "`service` must be `func(protocol: list<protocol>) -> u32`",
        ),
    ];
    for (body, expected) in cases {
        let error = read(&body, &[]).expect_err("an error");
        assert!(error.starts_with("test:shop/orders: ") && error.contains(expected), "{body}: {error}");
    }
}

#[test]
fn metered_names_cases() {
    let metered = |names: &str| {
        let body = format!(
            "record x {{ a: u32, status: u8 }} variant command {{ x(x) }} variant event {{ x(x) }} {names} \
             record protocol {{ command: command, event: event, metered: metered }} {SIDES}"
        );
        read(&body, &[])
    };
    assert!(metered("enum asks { x } enum ends { x } record metered { asks: asks, ends: ends }").is_ok());
    let cases = [
        ("enum asks { y } record metered { asks: asks }", "metered.asks.y: `command` has no such case"),
        ("enum ends { y } record metered { ends: ends }", "metered.ends.y: `event` has no such case"),
        (
            "enum answers { x } record metered { answers: answers }",
            "metered.answers.x: its record needs a field `status: u16` after its id",
        ),
        ("record metered { asks: u32 }", "metered.asks must be an enum"),
        ("enum more { x } record metered { more: more }", "metered.more: the fields are asks"),
    ];
    for (names, expected) in cases {
        let error = metered(names).expect_err("an error");
        assert!(error.contains(expected), "{names}: {error}");
    }
}

#[test]
fn rust_types_stand_for_types_that_are_there() {
    let body = |rest: &str| {
        format!(
            "record p {{ a: u64 }} record x {{ a: u32, b: p }} variant command {{ x(x) }} {rest} record protocol {{ command: command }} {SIDES}"
        )
    };
    let source = read(&body(""), &[("test:shop/orders/p", "crate::Point")]).expect("a protocol");
    assert!(source.contains("b: crate::Point,") && !source.contains("struct P"), "{source}");
    assert!(source.contains("StandsFor>::FORM, \"record(u64)\")"), "{source}");
    let error = read(&body(""), &[("test:shop/orders/q", "crate::Point")]).expect_err("an error");
    assert!(error.contains("no field has the type `test:shop/orders/q`, which `types` names"), "{error}");
}

#[test]
fn two_types_cannot_have_one_name() {
    let types = "record event { a: u64 } record x { a: u32, b: event } variant c { x(x) } variant e { y }";
    let error =
        read(&format!("{types} record protocol {{ command: c, event: e }} {SIDES}"), &[]).expect_err("an error");
    assert!(error.contains("two types are called `Event`"), "{error}");
}

#[test]
fn documentation_is_taken_over() {
    let body =
        "/// Of the record.\nrecord x { /// Of the \"field\".\n a: u32 } variant command { /// Of the case.\n x(x) }";
    let source = read(&format!("{body} record protocol {{ command: command }} {SIDES}"), &[]).expect("a protocol");
    assert!(source.contains(r#"#[doc = "Of the case.\n\nOf the record."]"#), "{source}");
    assert!(source.contains(r#"#[doc = "Of the \"field\"."]"#), "{source}");
}
