// A box that answers HTTP requests: `GET /Ada` with `Hello, Ada!`.
//
// Each request has an instance of its own, so nothing in memory outlasts it; `reuse = true` in system.toml has an instance go on to
// the next request.
package handler

import (
	"os"
	"strings"

	wit "go.bytecodealliance.org/pkg/wit/types"
	http "wit_component/wasi_http_types"
)

func Handle(request *http.IncomingRequest, out *http.ResponseOutparam) {
	// what `config` of system.toml says
	text := "Hello"
	if greeting := os.Getenv("greeting"); greeting != "" {
		text = greeting
	}
	path, _, _ := strings.Cut(request.PathWithQuery().SomeOr("/"), "?")
	if name := strings.Trim(path, "/"); name != "" {
		text += ", " + name
	}

	fields := []wit.Tuple2[string, []uint8]{{F0: "content-type", F1: []uint8("text/plain; charset=utf-8")}}
	response := http.MakeOutgoingResponse(http.FieldsFromList(fields).Ok())
	body := response.Body().Ok()
	http.ResponseOutparamSet(out, wit.Ok[*http.OutgoingResponse, http.ErrorCode](response))
	// at most 4096 bytes at a time
	stream := body.Write().Ok()
	stream.BlockingWriteAndFlush([]uint8(text + "!\n"))
	stream.Drop()
	http.OutgoingBodyFinish(body, wit.None[*http.Fields]())
}

// The body of a request: request.Consume(), its Stream(), then BlockingRead(n) until it is an error: a piece at a time, so that a long one
// does not have to fit in the memory that system.toml says.
//
// An answer that streams: BlockingWriteAndFlush for each piece; it waits while the client is slow.
//
// State: with `reuse = true`, variables of the package stay; there may be several instances. What must last belongs into another
// box: see Pearwood's examples/counter, which keeps it on a disk.
