//! The component under test, and ways to run it.

use alloc::boxed::Box;
use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use wasmtime::{
    Engine, Result, Store,
    component::{Component, Instance, InstancePre, Linker},
};

use crate::{
    clock::timer,
    platform::{self, Machine},
};

/// What the host's function `bytes` yields.
pub const BYTES: &[u8] = b"bytes of the host";

pub struct Fixture {
    pub machine: &'static Machine,
    pub image: &'static [u8],
    pub engine: Engine,
    pre: InstancePre<()>,
}

pub struct Running {
    pub store: Store<()>,
    instance: Instance,
}

impl Fixture {
    #[allow(unsafe_code)]
    pub fn new(machine: &'static Machine, image: &'static [u8]) -> Fixture {
        let mut config = wasm_host::engine::settings();
        platform::configure(&mut config);
        let engine = Engine::new(&config).expect("the engine's settings fit this machine");
        let ticking = engine.clone();
        timer::start(move || ticking.increment_epoch());
        // SAFETY: whoever starts a self-test vouches for its image.
        let component = unsafe { Component::deserialize(&engine, image) }.expect("the image is a compiled component");
        let pre = prepare(&engine, &component);
        Fixture { machine, image, engine, pre }
    }

    pub fn try_instantiate(&self) -> Result<Running> {
        instantiate(&self.engine, &self.pre)
    }

    pub fn instantiate(&self) -> Running {
        self.try_instantiate().expect("there is memory for an instance")
    }
}

/// Gives the component what it imports.
pub fn prepare(engine: &Engine, component: &Component) -> InstancePre<()> {
    let mut linker = Linker::new(engine);
    let bytes = linker.root().func_wrap_async("bytes", |_, (): ()| Box::new(async { Ok((BYTES.to_vec(),)) }));
    bytes.expect("it is defined once");
    linker.instantiate_pre(component).expect("the component imports nothing else")
}

pub fn instantiate(engine: &Engine, pre: &InstancePre<()>) -> Result<Running> {
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    let instance = block_on(pre.instantiate_async(&mut store))?;
    Ok(Running { store, instance })
}

impl Running {
    pub fn call(&mut self, name: &str, a: u32, b: u32) -> Result<u32> {
        block_on(self.call_async(name, a, b))
    }

    pub async fn call_async(&mut self, name: &str, a: u32, b: u32) -> Result<u32> {
        let function = self.instance.get_typed_func::<(u32, u32), (u32,)>(&mut self.store, name)?;
        let (result,) = function.call_async(&mut self.store, (a, b)).await?;
        Ok(result)
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll_once(future.as_mut()) {
            return output;
        }
    }
}

pub fn poll_once<F: Future>(future: core::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
