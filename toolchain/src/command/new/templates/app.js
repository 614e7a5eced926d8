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
