package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Backups is what the HTTP API needs to hand the registry out and to put it back. An error is answered
// as Admin's are.
type Backups interface {
	// Backup takes the registry as it is, at that index. It blocks for 250 ms at most; write blocks
	// as its writer does.
	Backup(ctx context.Context) (index uint64, write func(io.Writer) error, err error)
	// RestoreBackup makes the registry's topics and channels those of what Backup wrote; foreign: also
	// of another cluster. It reads body to its end before anything changes, and returns an error of
	// body as it is, or wrapped. It blocks until all is done or ctx ends.
	RestoreBackup(ctx context.Context, body io.Reader, foreign bool) (Restored, error)
}

// Restored says what a restore has changed.
type Restored struct {
	TopicsCreated   int    `json:"topics_created"`
	ChannelsCreated int    `json:"channels_created"`
	TopicsRemoved   int    `json:"topics_removed"`
	ChannelsRemoved int    `json:"channels_removed"`
	TopicsKept      int    `json:"topics_kept"`   // not in the file, but a living nsqd has them
	ChannelsKept    int    `json:"channels_kept"` // likewise
	Index           uint64 `json:"index"`         // of the registry, when all of it was done
}

const (
	snapshotPath = "/cluster/snapshot"
	restorePath  = "/cluster/restore"
	// pieceBytes is how much of a snapshot's way in or out has the time of a whole body or answer.
	pieceBytes = 64 << 10
)

func backupEntries() []entry {
	return []entry{
		{
			Route:  Route{http.MethodGet, snapshotPath, Administers, "The registry as a file, for /cluster/restore."},
			answer: (*Server).snapshot,
		},
		{
			Route: Route{http.MethodPost, restorePath, Administers, "Makes the topics and channels those of the file in the body; what living nsqds have stays. " +
				"400 BAD_SNAPSHOT when the file is damaged; 409 FOREIGN_SNAPSHOT when it is of another cluster, unless `force`."},
			answer: (*Server).restore,
		},
	}
}

func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) answer {
	if _, ok := params(r); !ok {
		return answerInvalidRequest
	}
	index, write, err := s.cfg.Backups.Backup(r.Context())
	if err != nil {
		return s.administered(w, r, err, nil)
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="raftlookupd-%d.snapshot"`, index))
	if err := write(pieceWriter{s, w}); err != nil {
		s.log.Warn("HTTP: a snapshot was not sent to its end", "to", r.RemoteAddr, "error", err)
		// What follows cannot be sent any more, not even the end of the body: so the client sees that
		// the connection breaks, and not a file that is too short.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
	}
	return answer{code: http.StatusOK, form: formSent}
}

// pieceWriter gives each piece of a stream the time of a whole answer.
type pieceWriter struct {
	s *Server
	w http.ResponseWriter
}

func (p pieceWriter) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		var n int
		p.s.renewWrite(p.w)
		n, err = p.w.Write(b[:min(len(b), pieceBytes)])
		b, written = b[n:], written+n
	}
	return written, err
}

func (s *Server) restore(w http.ResponseWriter, r *http.Request) answer {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return answerInvalidRequest
	}
	force, ok := q.force()
	if !ok {
		return answerInvalidForce
	}
	body := &pieceReader{body: r.Body, control: http.NewResponseController(w), time: s.cfg.BodyTimeout, left: pieceBytes}
	done, err := s.cfg.Backups.RestoreBackup(r.Context(), body, force)
	return s.administered(w, r, bodyFaultOf(err), struct {
		Message string `json:"message"`
		Restored
	}{"RESTORED", done})
}

// pieceReader gives each piece of a body the time of a whole one; guard has set that of the first. Once
// the body has ended nobody may set a deadline: see DESIGN.md, "Invariants".
type pieceReader struct {
	body    io.Reader
	control *http.ResponseController
	time    time.Duration
	left    int   // of the piece
	err     error // that ended the body
}

func (p *pieceReader) Read(b []byte) (n int, err error) {
	if p.err != nil {
		return 0, p.err
	}
	if p.left <= 0 {
		p.left = pieceBytes
		_ = p.control.SetReadDeadline(time.Now().Add(p.time)) // fails without a connection, as under a recorder
	}
	n, p.err = p.body.Read(b)
	p.left -= n
	return n, p.err
}

// bodyLimit is how long the body of a request may be.
func (s *Server) bodyLimit(r *http.Request) int64 {
	if r.Method == http.MethodPost && r.URL.Path == restorePath {
		return s.cfg.MaxSnapshotBytes
	}
	return s.cfg.MaxBodyBytes
}

// bodyFault is an error of a body; it says what it is answered, see reasoned.
type bodyFault struct {
	code            int
	message, reason string
}

// Error returns the reason.
func (f bodyFault) Error() string { return f.reason }

// Answer is what administered looks for.
func (f bodyFault) Answer() (code int, message, reason string) { return f.code, f.message, f.reason }

// bodyFaultOf makes a bodyFault of an error that comes from the body, and leaves others alone.
func bodyFaultOf(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return bodyFault{http.StatusRequestEntityTooLarge, "TOO_LARGE",
			fmt.Sprintf("nothing was restored: a file may have %d bytes", tooLarge.Limit)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return bodyFault{http.StatusBadRequest, "INVALID_REQUEST",
			"nothing was restored: the body did not come in time, try again over a faster network"}
	}
	return err
}
