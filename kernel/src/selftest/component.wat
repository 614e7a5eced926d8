;; What the kernel's self-test runs: one export for each thing that wasm can make the kernel do.
(component
  (core module $code
    (memory 1 65536)
    (data (i32.const 0) "pearwood")

    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "load") (param i32 i32) (result i32) (i32.load (local.get 0)))
    (func (export "store") (param i32 i32) (result i32)
      (i32.store (local.get 0) (local.get 1))
      (local.get 1))
    (func (export "grow") (param i32 i32) (result i32) (memory.grow (local.get 0)))

    (func (export "unreachable") (param i32 i32) (result i32) unreachable)
    (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    (func $recurse (export "recurse") (param i32 i32) (result i32)
      (i32.add (i32.const 1) (call $recurse (local.get 0) (local.get 1))))
    (func (export "spin") (param i32 i32) (result i32) (loop $again (br $again)) unreachable)

    ;; ceil(a / 1.5) * sqrt(floor(b + 0.5))
    (func (export "floats") (param i32 i32) (result i32)
      (i32.trunc_f64_s
        (f64.mul
          (f64.ceil (f64.div (f64.convert_i32_s (local.get 0)) (f64.const 1.5)))
          (f64.sqrt (f64.floor (f64.add (f64.convert_i32_s (local.get 1)) (f64.const 0.5))))))))
  (core instance $core (instantiate $code))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "add")))
  (func (export "load") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "load")))
  (func (export "store") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "store")))
  (func (export "grow") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "grow")))
  (func (export "unreachable") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "unreachable")))
  (func (export "divide") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "divide")))
  (func (export "recurse") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "recurse")))
  (func (export "spin") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "spin")))
  (func (export "floats") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "floats"))))
