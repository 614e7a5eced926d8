// A box that answers HTTP requests: `GET /Ada` with `Hello, Ada!`.
//
// Each request has an instance of its own, so nothing in memory outlasts it. `fetch` asks others, with an arrow in system.toml to
// who is asked.

import { getEnvironment } from "wasi:cli/environment@0.2.10";

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  // what `config` of system.toml says
  const { greeting = "Hello" } = Object.fromEntries(getEnvironment());
  const name = new URL(request.url).pathname.replaceAll("/", "");
  return new Response(name ? `${greeting}, ${name}!\n` : `${greeting}!\n`);
}

// The body of a request: `await request.text()` has all of it; it can be long, and the box has the `memory` that system.toml says.
// An answer that streams: `new Response(stream)` takes a `ReadableStream`. What comes in goes out again, piece by piece, with
// `new Response(request.body)`.
//
// State: `reuse = true` in system.toml has an instance go on to the next request, with its variables; there may be several
// instances. What must last belongs into another box: see Pearwood's `examples/counter`, which keeps it on a disk.
