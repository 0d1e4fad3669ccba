package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// constantWord as the first argument makes this program the server of a constant answer: a process of its own, like those
// that it is compared with.
const constantWord = "serve-constant-answer"

// Paths of the constant answer: with what nsqlookupd's clients need of its header, and with all of its header.
const (
	bodyPath  = "/body"
	wholePath = "/whole"
)

// captured is an answer of raftlookupd's, as a file holds it.
type captured struct {
	Header http.Header
	Body   []byte
}

// startConstant serves from now on what a path of l answers now.
func (b *bench) startConstant(ctx context.Context, l *lookupd, path string) (*system, error) {
	s, err := b.newSystem("constant")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, "answer")
	if err := capture(ctx, l, path, file); err != nil {
		return nil, err
	}
	bin, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	address, err := b.ports.free()
	if err != nil {
		return nil, err
	}
	s.who = constant
	s.servers = []*lookupd{{name: "constant", bin: bin, dir: s.dir, http: address, ready: bodyPath,
		args: []string{constantWord, address, file}}}
	return s, s.start(ctx)
}

// capture asks once, and keeps the answer in a file.
func capture(ctx context.Context, l *lookupd, path, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.http+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("capture an answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("capture %s: %s", path, resp.Status)
	}
	a := captured{Header: resp.Header}
	if a.Body, err = io.ReadAll(resp.Body); err != nil {
		return fmt.Errorf("capture %s: %w", path, err)
	}
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("capture %s: %w", path, err)
	}
	return os.WriteFile(file, text, 0o600)
}

func readCaptured(file string) (captured, error) {
	var a captured
	text, err := os.ReadFile(file)
	if err != nil {
		return a, fmt.Errorf("read the constant answer: %w", err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("decode the constant answer: %w", err)
	}
	return a, nil
}

// headerNames are those that net/http does not set by itself.
func (a captured) headerNames() []string {
	var names []string
	for name := range a.Header {
		if name != "Date" && name != "Content-Length" {
			names = append(names, name)
		}
	}
	return names
}

// serveConstant answers the bytes of a file until the context ends.
func serveConstant(ctx context.Context, address, file string) error {
	a, err := readCaptured(file)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for path, names := range map[string][]string{bodyPath: {"Content-Type", "X-Nsq-Content-Type"}, wholePath: a.headerNames()} {
		header := map[string][]string{}
		for _, name := range names {
			header[name] = a.Header[name]
		}
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			for name, value := range header {
				h[name] = value
			}
			_, _ = w.Write(a.Body) // an error means that the client has left
		})
	}
	server := &http.Server{Addr: address, Handler: mux}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve a constant answer: %w", err)
	}
	return nil
}
