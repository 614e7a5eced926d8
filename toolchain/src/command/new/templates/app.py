"""A box that answers HTTP requests: `GET /Ada` with `Hello, Ada!`.

Packages that `requirements.txt` names can be imported. Each request has an instance of its own, so nothing in memory outlasts it;
`reuse = true` in system.toml has an instance go on to the next request.
"""

import os

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        name = (request.path_with_query() or "/").split("?")[0].strip("/")
        # what `config` of system.toml says
        greeting = os.environ.get("greeting", "Hello")
        text = f"{greeting}, {name}!\n" if name else f"{greeting}!\n"
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain; charset=utf-8")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            # at most 4096 bytes at a time
            stream.blocking_write_and_flush(text.encode())
        OutgoingBody.finish(body, None)

# The body of a request: `request.consume()`, `body.stream()`, then `stream.blocking_read(n)` until it raises `Err` with
# `StreamError_Closed`: a piece at a time, so that a long one does not have to fit in the `memory` that system.toml says.
#
# An answer that streams: `stream.blocking_write_and_flush(piece)` for each piece; it waits while the client is slow.
#
# State: `reuse = true` in system.toml has an instance go on to the next request, with its variables; there may be several
# instances. What must last belongs into another box: see Pearwood's `examples/counter`, which keeps it on a disk.
