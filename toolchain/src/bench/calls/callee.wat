(component
  (core module $code
    (memory (export "memory") 1)
    ;; what comes is overwritten by the next
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16)))
  (core instance $code (instantiate $code))
  (alias core export $code "memory" (core memory $memory))
  (alias core export $code "realloc" (core func $realloc))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $code "add")))
  (func $echo (param "bytes" (list u8)) (result (list u8))
    (canon lift (core func $code "echo") (memory $memory) (realloc $realloc)))
  (instance $api (export "add" (func $add)) (export "echo" (func $echo)))
  (export "bench:calls/api@0.1.0" (instance $api)))
