use super::*;
use crate::system::known::GIVEN;

/// The imports of a world that imports all interfaces of a package.
fn package(name: &str, wit: &str) -> Description {
    let mut resolve = Resolve::default();
    let package = resolve.push_str(name, wit).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let imports: String = resolve.packages[package]
        .interfaces
        .keys()
        .map(|interface| {
            format!("import {}/{interface}@0.1.0;\n", resolve.packages[package].name.to_string().replace("@0.1.0", ""))
        })
        .collect();
    let world = format!("package test:all;\nworld all {{\n{imports}}}\n");
    let package = resolve.push_str("all.wit", &world).unwrap_or_else(|error| panic!("{world}{error:#}"));
    let world = resolve.packages[package].worlds["all"];
    world_description(&resolve, world).unwrap()
}

#[test]
fn what_the_node_gives_is_what_its_wit_says() {
    let packages = [
        package("box.wit", include_str!("../../../../wit/box/box.wit")),
        package("control.wit", include_str!("../../../../wit/control/control.wit")),
        package("hardware.wit", include_str!("../../../../wit/hardware/hardware.wit")),
        package("net.wit", include_str!("../../../../wit/net/net.wit")),
        package("http.wit", include_str!("../../../../wit/http/http.wit")),
    ];
    let interfaces: Vec<&Interface> = packages.iter().flat_map(|package| &package.imports).collect();
    for interface in &interfaces {
        // what boxes export is not given to them
        if ["pearwood:box/service", "pearwood:box/handover", "pearwood:box/health"].contains(&interface.path()) {
            continue;
        }
        let given = GIVEN.iter().find(|given| given.path == interface.path());
        let given = given.unwrap_or_else(|| panic!("`{}` is not among those given", interface.name));
        assert_eq!(interface.name, format!("{}@{}", given.path, given.version));
        let names: Vec<&str> = interface.functions.iter().map(|function| function.name.as_str()).collect();
        let mut expected: Vec<&str> = given.functions.iter().map(|(name, _)| *name).collect();
        expected.sort_unstable();
        assert_eq!(names, expected, "{}", given.path);
        for (function, (_, signature)) in
            interface.functions.iter().map(|f| (f, given.functions.iter().find(|(n, _)| *n == f.name).unwrap()))
        {
            assert_eq!(function.shape, shape(signature), "{}.{}: {}", given.path, function.name, function.signature);
        }
    }
    for given in GIVEN {
        assert!(interfaces.iter().any(|interface| interface.path() == given.path), "no WIT for {}", given.path);
    }
}

const WIT: &str = "
package my:shop@1.2.0;
interface stock {
    resource item { constructor(name: string); price: func() -> result<u32, fault>; }
    variant fault { gone, other(string) }
    record order { item: borrow<item>, count: u8, tags: list<tuple<string, option<f64>>> }
    type orders = list<order>;
    flags options { gift, express }
    place: func(orders: orders, options: options) -> result<_, fault>;
    find: async func(name: string) -> option<item>;
}
";

#[test]
fn types_are_written_as_wit_writes_them() {
    let mut resolve = Resolve::default();
    let world = format!("{WIT}world shop {{ import stock; export run: func(); }}");
    let package = resolve.push_str("shop.wit", &world).unwrap();
    let world = resolve.packages[package].worlds["shop"];
    let description = world_description(&resolve, world).unwrap();
    let [stock] = &description.imports[..] else { panic!("{description:?}") };
    assert_eq!(stock.name, "my:shop/stock@1.2.0");
    let functions: Vec<(&str, &str)> =
        stock.functions.iter().map(|f| (f.name.as_str(), f.signature.as_str())).collect();
    let expected = [
        ("[async]find", "async func(name: string) -> option<item>"),
        ("[constructor]item", "func(name: string) -> item"),
        ("[method]item.price", "func(self: borrow<item>) -> result<u32, fault>"),
        ("place", "func(orders: orders, options: options) -> result<_, fault>"),
    ];
    let without_async = |name: &str| name.replace("[async]", "");
    let plain = |list: &[(&str, &str)]| {
        let mut list: Vec<(String, String)> = list.iter().map(|(n, s)| (without_async(n), s.to_string())).collect();
        list.sort();
        list
    };
    assert_eq!(plain(&functions), plain(&expected));
    assert_eq!(
        stock.definition("order"),
        Some("record { item: borrow<item>, count: u8, tags: list<tuple<string, option<f64>>> }")
    );
    assert_eq!(stock.definition("fault"), Some("variant { gone, other(string) }"));
    assert_eq!(description.exports[0].name, "run");
}

#[test]
fn shapes_see_through_names() {
    let shape_of = |types: &str| {
        let wit = format!("package a:b@0.1.0;\ninterface c {{ {types} f: func(x: t); }}");
        package("a.wit", &wit).imports[0].functions[0].shape
    };
    assert_eq!(shape_of("type t = list<u8>;"), shape_of("type u = u8; type t = list<u>;"));
    assert_ne!(shape_of("type t = list<u8>;"), shape_of("type t = list<u16>;"));
    assert_ne!(shape_of("record t { a: u8 }"), shape_of("record t { b: u8 }"));
}

#[test]
fn types_that_grow_without_end_are_refused() {
    let mut types = String::from("type t0 = tuple<u8, u8>;\n");
    for i in 1..40 {
        types += &format!("type t{i} = tuple<t{0}, t{0}>;\n", i - 1);
    }
    let wit = format!("package a:b;\ninterface c {{ {types} f: func(x: t39); }}\nworld w {{ import c; }}");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("a.wit", &wit).unwrap();
    let error = world_description(&resolve, resolve.packages[package].worlds["w"]).unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}

#[test]
fn what_is_no_component() {
    assert!(describe(b"").is_err() && describe(b"\0asm\x0d\0\x01\0garbage").is_err());
    assert!(describe(b"\0asm\x01\0\0\0").unwrap_err().to_string().contains("core module"));
}

#[test]
fn a_component_is_described() {
    let component = r#"(component
        (import "pearwood:box/log@0.1.0" (instance
            (type $enum (enum "error" "warn" "info" "debug"))
            (export "level" (type $level (eq $enum)))
            (export "write" (func (param "level" $level) (param "line" string)))))
        (import "my:shop/stock@1.2.0" (instance $stock (export "count" (func (result u32)))))
        (instance $again (export "count" (func $stock "count")))
        (export "my:shop/stock@1.2.0" (instance $again)))"#;
    let description = describe(&wat::parse_str(component).unwrap()).unwrap();
    let [log, stock] = &description.imports[..] else { panic!("{description:?}") };
    assert_eq!(log.functions[0].signature, "func(level: level, line: string)");
    let given = GIVEN.iter().find(|given| given.path == log.path()).unwrap();
    assert_eq!(log.functions[0].shape, shape(given.functions[0].1));
    assert_eq!(&description.exports[..], core::slice::from_ref(stock));
}
