// A box that answers HTTP requests: `GET /Ada` with `Hello, Ada!`.
//
// Each request has an instance of its own, so nothing in memory outlasts it; `reuse = true` in system.toml has an instance go on to
// the next request. All .c files of this folder are compiled.

#include "handler.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void exports_wasi_http_incoming_handler_handle(wasi_http_types_own_incoming_request_t request,
                                               wasi_http_types_own_response_outparam_t out) {
    // what `config` of system.toml says
    const char *greeting = getenv("greeting");
    if (!greeting) greeting = "Hello";

    // the path: what stands between `/` and `?`, which is not terminated by a zero
    handler_string_t target = {0};
    wasi_http_types_method_incoming_request_path_with_query(wasi_http_types_borrow_incoming_request(request), &target);
    size_t length = 0;
    while (length < target.len && target.ptr[length] != '?') length++;
    char text[4096];
    if (length > 1)
        snprintf(text, sizeof text, "%.1000s, %.*s!\n", greeting, length < 2000 ? (int)length - 1 : 2000, (char *)target.ptr + 1);
    else
        snprintf(text, sizeof text, "%.1000s!\n", greeting);
    handler_string_free(&target);
    wasi_http_types_incoming_request_drop_own(request);

    // the head of the answer
    wasi_http_types_own_outgoing_response_t response =
        wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
    wasi_http_types_own_outgoing_body_t body;
    wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), &body);
    wasi_http_types_result_own_outgoing_response_error_code_t ok = {.is_err = false, .val.ok = response};
    wasi_http_types_static_response_outparam_set(out, &ok);

    // its body: at most 4096 bytes at a time
    wasi_http_types_own_output_stream_t stream;
    wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
    handler_list_u8_t bytes = {.ptr = (uint8_t *)text, .len = strlen(text)};
    wasi_io_streams_stream_error_t closed;
    wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &bytes, &closed);
    wasi_io_streams_output_stream_drop_own(stream);
    wasi_http_types_error_code_t failed;
    wasi_http_types_static_outgoing_body_finish(body, NULL, &failed);
}

// The body of a request: ..._incoming_request_consume, ..._incoming_body_stream, then ..._input_stream_blocking_read until it fails: a
// piece at a time, so that a long one does not have to fit in the `memory` that system.toml says.
//
// An answer that streams: blocking_write_and_flush for each piece; it waits while the client is slow.
//
// State: with `reuse = true`, static variables stay; there may be several instances. What must last belongs into another box: see
// Pearwood's examples/counter, which keeps it on a disk.
