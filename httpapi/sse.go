package httpapi

import (
	"net/http"
	"strconv"
)

// retryMS is how long a client shall wait before it connects again, in milliseconds.
const retryMS = "1000"

// sse writes server-sent events (WHATWG HTML, 9.2). Each has the WriteTimeout of its own. When a write
// fails net/http sends nothing more, not even the end of the body: the client throws half an event away.
type sse struct {
	s   *Server
	w   http.ResponseWriter
	buf []byte // its memory is reused
}

// begin sends the header, so that the client knows at once that it is connected.
func (o *sse) begin() error {
	h := o.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // asks nginx to pass events on as they come
	o.w.WriteHeader(http.StatusOK)
	o.buf = append(o.buf[:0], "retry: "+retryMS+"\n\n"...)
	if err := o.write(o.buf); err != nil {
		return err
	}
	return o.flush()
}

// event writes one; head and tail are its data and have no line breaks. It may stay in a buffer until
// flush.
func (o *sse) event(id uint64, kind string, head, tail []byte) error {
	b := append(o.buf[:0], "id: "...)
	b = strconv.AppendUint(b, id, 10)
	b = append(append(b, "\nevent: "...), kind...)
	b = append(append(b, "\ndata: "...), head...)
	o.buf = b
	return o.write(b, tail, []byte("\n\n"))
}

// comment writes what clients ignore, and sends it.
func (o *sse) comment(text string) error {
	if err := o.write([]byte(": " + text + "\n\n")); err != nil {
		return err
	}
	return o.flush()
}

func (o *sse) write(parts ...[]byte) error {
	o.s.renewWrite(o.w)
	for _, part := range parts {
		if _, err := o.w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what was written just now.
func (o *sse) flush() error {
	return http.NewResponseController(o.w).Flush()
}
