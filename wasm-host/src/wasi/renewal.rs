//! Instances that are made as new again after a request, instead of others being made in their places.
//!
//! Most of what a request costs a small component is otherwise wasmtime's: a store, the component's modules, memories, tables,
//! trampolines. The ahead-of-time compiler says of a component whether all that changes in an instance are its one memory,
//! its globals and the handles that it holds, and sees to the globals ([`FRESH`]). Here the memory's pages are put back, by the
//! platform, which knows which of them were written; and an instance that has handles left is dropped.

use crate::{arrows::call::Host, boxes::State, engine::FRESH, platform::Platform};
use core::{
    ops::Range,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};
use wasmtime::{
    Result, Store,
    component::{Component, ComponentExportIndex, Instance, WasmList},
};

/// What is known of a component's instances.
pub struct Renewal {
    /// the function by which they are told
    begin: Option<ComponentExportIndex>,
    found: AtomicU8,
}

// What was found out of a component.

/// nothing yet
const UNKNOWN: u8 = 0;
/// A memory that is put back is as it was when the instance was made.
const WORKS: u8 = 1;
/// It is not, or there is no way to put it back here.
const FAILS: u8 = 2;

/// Where the memory of an instance is, and how large it was.
pub struct Origin {
    start: usize,
    length: usize,
}

/// The instance that it was found with is of no use any more.
pub struct Lost;

impl Renewal {
    /// Instances are not made as new.
    pub fn none() -> Self {
        Renewal { begin: None, found: AtomicU8::new(FAILS) }
    }

    pub fn of(component: &Component) -> Self {
        Renewal { begin: component.get_export_index(None, FRESH), found: AtomicU8::new(UNKNOWN) }
    }

    /// Sees to it that a new instance can be made as new again. Ok(None): that cannot be.
    pub async fn begin(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        platform: &dyn Platform,
    ) -> Result<core::result::Result<Option<Origin>, Lost>> {
        let (Some(begin), found) = (&self.begin, self.found.load(Relaxed)) else { return Ok(Ok(None)) };
        if found == FAILS {
            return Ok(Ok(None));
        }
        // somebody else's, by that name
        let Ok(begin) = instance.get_typed_func::<(), (WasmList<u8>,)>(&mut *store, begin) else { return Ok(Ok(None)) };
        // nothing is copied: what comes is a view
        let copies = store.hostcall_fuel();
        store.set_hostcall_fuel(usize::MAX);
        let (memory,) = begin.call_async(&mut *store, ()).await?;
        store.set_hostcall_fuel(copies);
        let bytes = memory.as_le_slice(&*store);
        // It is the whole memory, so it begins where that does.
        if store.data().only_memory() != Some(bytes.len()) {
            return Ok(Ok(None));
        }
        let origin = Origin { start: bytes.as_ptr().expose_provenance(), length: bytes.len() };
        if found == UNKNOWN {
            let before = fingerprint(bytes);
            let is_put_back = origin.revert(store, platform) && fingerprint(memory.as_le_slice(&*store)) == before;
            self.found.store(if is_put_back { WORKS } else { FAILS }, Relaxed);
            if !is_put_back {
                return Ok(Err(Lost));
            }
        }
        Ok(Ok(Some(origin)))
    }
}

impl Origin {
    /// Makes an instance as new that has worked on a request. False: it is not, and not to be used again. That goes for one
    /// whose memory has grown to more than twice what it was, too, as its box may need that for others.
    pub fn renew(&self, store: &mut Store<State>, platform: &dyn Platform) -> bool {
        let state = store.data_mut();
        let is_small = state.only_memory().is_some_and(|length| length / 2 <= self.length);
        let has_no_handles = state.wasi.is_empty() && state.calls().held() == 0;
        is_small && has_no_handles && self.revert(store, platform)
    }

    #[allow(unsafe_code)]
    fn revert(&self, store: &mut Store<State>, platform: &dyn Platform) -> bool {
        let Some(memory) = self.memory(store.data()) else { return false };
        // SAFETY: the store has this memory and no other, which stays where it is, and is borrowed here: so nobody reads it,
        // nor does the instance run.
        unsafe { platform.revert(memory) }
    }

    /// The memory's addresses, of as many pages as it has now.
    fn memory(&self, state: &State) -> Option<Range<usize>> {
        Some(self.start..self.start + state.only_memory()?)
    }
}

/// Tells contents apart, of which nobody gains anything by making them seem the same.
fn fingerprint(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    let mix =
        |sum: u64, word: &[u8; 8]| (sum.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    words.iter().fold(0, mix)
}

#[cfg(all(test, feature = "build"))]
mod tests {
    use super::*;
    use crate::{
        boxes::{BoxHandle, Budget, Charge, Parts},
        engine,
        executor::Executor,
        plan::BoxPlan,
        platform::fake::FakePlatform,
    };
    use futures_util::FutureExt;
    use wasmtime::{Engine, component::Linker};

    /// `change` writes a number and says what was there; `grow` has the memory grow.
    const GUEST: &str = r#"(component
        (core module $code
            (memory (export "memory") 2)
            (func (export "fresh") (result i32)
                (i32.store (i32.const 20) (i32.shl (memory.size) (i32.const 16)))
                (i32.const 16))
            (func (export "end") (param i32) (i32.store (i32.const 20) (i32.const 0)))
            (func (export "change") (param i32) (result i32)
                (i32.load (i32.const 100000))
                (i32.store (i32.const 100000) (local.get 0)))
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
        (core instance $code (instantiate $code))
        (func $fresh (result (list u8)) (canon lift (core func $code "fresh")
            (memory (core memory $code "memory")) (post-return (core func $code "end"))))
        (func $change (param "a" u32) (result u32) (canon lift (core func $code "change")))
        (func $grow (param "a" u32) (result u32) (canon lift (core func $code "grow")))
        (export "pearwood-fresh" (func $fresh))
        (export "change" (func $change))
        (export "grow" (func $grow)))"#;

    struct Fixture {
        engine: Engine,
        component: Component,
        platform: &'static FakePlatform,
    }

    impl Fixture {
        fn new() -> Self {
            let engine = Engine::new(&engine::settings()).unwrap();
            let component = Component::new(&engine, wat::parse_str(GUEST).unwrap()).unwrap();
            Fixture { engine, component, platform: FakePlatform::leak() }
        }

        fn instance(&self) -> (Store<State>, Instance) {
            let spec = BoxPlan { memory: 4 << 20, ..BoxPlan::new("fresh", "fresh") };
            let handle = BoxHandle::new(spec, Parts::default(), self.platform);
            let budget = Budget::new(handle.spec.memory);
            let timer = Executor::new().timers().timer();
            let state = State::within(Charge::none(&budget), &handle, self.platform, &timer);
            let mut store = state.into_store(&self.engine);
            let made = Linker::new(&self.engine).instantiate_async(&mut store, &self.component).now_or_never();
            let instance = made.unwrap().unwrap();
            (store, instance)
        }

        fn begin(
            &self,
            renewal: &Renewal,
            store: &mut Store<State>,
            instance: &Instance,
        ) -> Result<Option<Origin>, Lost> {
            renewal.begin(store, instance, self.platform).now_or_never().unwrap().unwrap()
        }
    }

    fn call(store: &mut Store<State>, instance: &Instance, name: &str, number: u32) -> u32 {
        let function = instance.get_typed_func::<(u32,), (u32,)>(&mut *store, name).unwrap();
        function.call_async(store, (number,)).now_or_never().unwrap().unwrap().0
    }

    /// G10
    #[test]
    fn an_instance_is_as_new_or_not_used_again() {
        let fixture = Fixture::new();
        fixture.platform.keep_memories();
        let renewal = Renewal::of(&fixture.component);
        let (mut store, instance) = fixture.instance();
        let Ok(Some(origin)) = fixture.begin(&renewal, &mut store, &instance) else { panic!("it can be made as new") };
        assert_eq!(origin.length, 2 << 16);
        for number in 1..4 {
            assert_eq!(call(&mut store, &instance, "change", number), 0);
            assert!(origin.renew(&mut store, fixture.platform));
        }
        assert_eq!(call(&mut store, &instance, "grow", 2), 2);
        assert!(origin.renew(&mut store, fixture.platform), "it is not much larger");
        let left = store.data_mut().wasi.push(0_u8).unwrap();
        assert!(!origin.renew(&mut store, fixture.platform), "it has a handle left");
        store.data_mut().wasi.take(left).unwrap();
        assert!(origin.renew(&mut store, fixture.platform));
        assert_eq!(call(&mut store, &instance, "grow", 1), 4);
        assert!(!origin.renew(&mut store, fixture.platform), "its box may need the memory for others");
    }

    /// G10: the first instance finds it out, and none is tried after it.
    #[test]
    fn where_memories_cannot_be_put_back_instances_are_made() {
        let fixture = Fixture::new();
        let renewal = Renewal::of(&fixture.component);
        let (mut store, instance) = fixture.instance();
        assert!(matches!(fixture.begin(&renewal, &mut store, &instance), Err(Lost)));
        let (mut store, instance) = fixture.instance();
        assert!(matches!(fixture.begin(&renewal, &mut store, &instance), Ok(None)));
        let (mut store, instance) = fixture.instance();
        assert!(matches!(fixture.begin(&Renewal::none(), &mut store, &instance), Ok(None)));
    }
}
