use super::*;
use alloc::{format, string::String};

fn component(text: &str) -> u64 {
    estimate(&wat::parse_str(text).unwrap()).unwrap()
}

/// A module with that many globals, in as many instances.
fn globals(count: usize, instances: usize) -> String {
    let globals = "(global i32 (i32.const 0))".repeat(count);
    let instances = "(core instance (instantiate $m))".repeat(instances);
    format!("(component (core module $m {globals}) {instances})")
}

#[test]
fn instances_count_as_often_as_they_are_made() {
    let (one, sixty) = (component(&globals(1_000, 1)), component(&globals(1_000, 60)));
    assert!((16_000..64_000).contains(&one), "{one}");
    assert!(sixty >= 60 * 16_000, "{sixty}");
    assert!(component(&globals(20_000, 60)) > 19_000_000);
}

#[test]
fn nested_components_multiply() {
    let inner = globals(1_000, 10);
    let nested = |count: usize| {
        let instances = "(instance (instantiate $c))".repeat(count);
        component(&format!("(component (component $c {}) {instances})", &inner["(component ".len()..inner.len() - 1]))
    };
    assert!(nested(10) > 9 * nested(1), "{} {}", nested(10), nested(1));
    // a module of the outer component, by an alias, and one that is exported on
    let aliased = "(component $o (core module $m (memory 1) (global i32 (i32.const 0)))
        (component $c (alias outer $o $m (core module $a)) (core instance (instantiate $a)) (core instance (instantiate $a))
            (export \"m\" (core module $a)))
        (instance $i (instantiate $c)) (alias export $i \"m\" (core module $e)) (core instance (instantiate $e)))";
    assert!(component(aliased) >= 3 * 8_192);
}

#[test]
fn a_box_pays_before_its_instance_is_made() {
    let text = "[system]\nname = \"s\"\n[box.guest]\ncomponent = \"guest\"\nmemory = \"4 MiB\"\n";
    let spec = crate::system::System::parse("system.toml", text).unwrap().boxes.remove(0);
    let platform = crate::platform::fake::FakePlatform::leak();
    let handle = BoxHandle::new(spec, super::super::Parts::default(), platform);
    handle.will_take(Footprint { instance: component(&globals(20_000, 60)), has_wasi: false });
    let budget = budget(&handle);
    let before = budget.used();
    let error = pay(&handle, &budget, 0).unwrap_err();
    assert!(error.is::<NoRoom>());
    assert!(format!("{error}").starts_with("its memory limit of 4096 KiB leaves no room for an instance"), "{error}");
    assert_eq!(budget.used(), before);
}
