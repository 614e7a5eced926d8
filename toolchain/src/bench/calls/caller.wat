(component
  (import "bench:calls/api@0.1.0" (instance $api
    (export "add" (func (param "a" u32) (param "b" u32) (result u32)))
    (export "echo" (func (param "bytes" (list u8)) (result (list u8))))))
  (core module $allocator
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
  (core instance $allocator (instantiate $allocator))
  (alias core export $allocator "memory" (core memory $memory))
  (alias core export $allocator "realloc" (core func $realloc))
  (core func $add (canon lower (func $api "add")))
  (core func $echo (canon lower (func $api "echo") (memory $memory) (realloc $realloc)))
  (core instance $imports (export "add" (func $add)) (export "echo" (func $echo)))
  (core module $code
    (import "api" "add" (func $add (param i32 i32) (result i32)))
    (import "api" "echo" (func $echo (param i32 i32 i32)))
    (func (export "run") (loop $again CALL (br $again))))
  (core instance $code (instantiate $code (with "api" (instance $imports))))
  (func $run (canon lift (core func $code "run")))
  (instance $service (export "run" (func $run)))
  (export "pearwood:box/service@0.2.0" (instance $service)))
