//! Code for a node that is set up otherwise: what the image says of it tells, or what the code says of itself.

use super::{Bench, DECLARED, sound};
use crate::guests::{HANDLER, Handler};
use pearwood::build::{Compiler, Components, Target};
use wasm_host::{
    engine::{self, CPU_FLAGS, KERNEL_TRIPLE, Kind, LINUX_TRIPLE, WASMTIME},
    image::{Builder, EngineSettings},
};
use wasmtime::{Config, Engine};

/// No emulated CPU has this.
const FEATURE: &str = "has_avx512f";

pub fn is_for_another_node(bench: &mut Bench) {
    let api = Handler { version: b'2', ..HANDLER }.component();
    let components = bench.components(DECLARED, &api, &sound());
    let triple = match bench.target {
        Target::Kernel => KERNEL_TRIPLE,
        Target::Native => LINUX_TRIPLE,
    };
    let compile = |config: &Config| {
        let engine = Engine::new(config).expect("an engine");
        engine.precompile_component(&api).expect("code")
    };
    let settings = || {
        let mut config = engine::settings_of(Kind::Lean);
        config.target(triple).expect("a target");
        enable(&mut config, &CPU_FLAGS);
        config
    };
    let says = engine::requirements(triple);

    let mut for_another = settings();
    enable(&mut for_another, &[FEATURE]);
    let for_another = compile(&for_another);
    let flags = CPU_FLAGS.iter().copied().chain(["epoch_interruption", "lean", FEATURE]);
    let image = packed(bench, &components, EngineSettings::new(WASMTIME, triple, flags), for_another.clone());
    let why = ["box `api`: ", "was compiled for other engine settings: ", FEATURE];
    bench.broken("code for another CPU", &image, "refused", &why);

    let mut metered = settings();
    metered.consume_fuel(true);
    let image = packed(bench, &components, says.clone(), compile(&metered));
    bench.broken("code of another kind than the image says", &image, "refused", &["box `api`: ", "fuel"]);

    // beside Linux the CPU is this machine's, which may have it
    if bench.target == Target::Kernel {
        let image = packed(bench, &components, says, for_another);
        bench.broken("code for another CPU than the image says", &image, "refused", &["box `api`: ", FEATURE]);
    }
}

#[expect(unsafe_code)]
fn enable(config: &mut Config, flags: &[&str]) {
    for flag in flags {
        // SAFETY: nothing is run here of what is compiled.
        unsafe { config.cranelift_flag_enable(flag) };
    }
}

/// The system with this code for `api`, and this said of it.
fn packed(bench: &Bench, components: &Components, settings: EngineSettings, code: Vec<u8>) -> Vec<u8> {
    let compiler = Compiler::new(bench.target, Kind::Lean).expect("a compiler");
    let cache = tempfile::tempdir().expect("a folder");
    let source = &components.system.source;
    let mut builder = Builder::new(&source.file, &source.text);
    builder.plan(components.plan(u64::MAX));
    for (name, component) in &components.components {
        match name.as_str() {
            "./api.wasm" => builder.artifact(name, settings.clone(), code.clone()),
            _ => {
                let code = compiler.compile(name, &component.binary, cache.path()).expect("code");
                builder.artifact(name, compiler.settings(), code)
            }
        };
    }
    builder.finish(&bench.signer).expect("an image")
}
