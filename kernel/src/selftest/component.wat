;; What the kernel's self-test runs: one export for each thing that wasm can make the kernel do.
(component
  (import "bytes" (func $bytes (result (list u8))))

  ;; What the host needs to hand over what `bytes` yields. Its `realloc` calls itself as often as `depth` says.
  (core module $allocator
    (memory (export "memory") 1 65536)
    (data (i32.const 0) "pearwood")
    (global $depth (export "depth") (mut i32) (i32.const 0))
    (func $descend (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $descend (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 0))))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (drop (call $descend (global.get $depth)))
      (i32.const 1024)))
  (core instance $allocator (instantiate $allocator))
  (core func $bytes (canon lower (func $bytes)
    (memory (core memory $allocator "memory")) (realloc (core func $allocator "realloc"))))

  (core module $code
    (import "allocator" "memory" (memory 1 65536))
    (import "allocator" "depth" (global $depth (mut i32)))
    (import "host" "bytes" (func $bytes (param i32)))

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
    ;; calls itself `a` times, and then the host, whose call of `realloc` comes back and goes `b` deeper
    (func $descend (param i32 i32)
      (if (local.get 0)
        (then (call $descend (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
        (else
          (global.set $depth (local.get 1))
          (call $bytes (i32.const 512)))))
    (func (export "reenter") (param i32 i32) (result i32)
      (call $descend (local.get 0) (local.get 1))
      (i32.load (i32.const 516)))
    (func (export "spin") (param i32 i32) (result i32) (loop $again (br $again)) unreachable)

    ;; ceil(a / 1.5) * sqrt(floor(b + 0.5))
    (func (export "floats") (param i32 i32) (result i32)
      (i32.trunc_f64_s
        (f64.mul
          (f64.ceil (f64.div (f64.convert_i32_s (local.get 0)) (f64.const 1.5)))
          (f64.sqrt (f64.floor (f64.add (f64.convert_i32_s (local.get 1)) (f64.const 0.5))))))))
  (core instance $core (instantiate $code
    (with "allocator" (instance $allocator))
    (with "host" (instance (export "bytes" (func $bytes))))))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "add")))
  (func (export "load") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "load")))
  (func (export "store") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "store")))
  (func (export "grow") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "grow")))
  (func (export "unreachable") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "unreachable")))
  (func (export "divide") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "divide")))
  (func (export "recurse") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "recurse")))
  (func (export "reenter") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "reenter")))
  (func (export "spin") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "spin")))
  (func (export "floats") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $core "floats"))))
