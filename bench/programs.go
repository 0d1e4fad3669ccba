package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// self is this module, and parent the directory above it the one of raftlookupd.
const self = "github.com/raftlookupd/raftlookupd/bench"

// programs says where the built programs are.
type programs struct {
	nsqlookupd, raftlookupd string
	goVersion               string
}

// build builds both programs with the same Go and the same flags, those of `make build`.
func build(ctx context.Context, dir string) (programs, error) {
	p := programs{nsqlookupd: filepath.Join(dir, nsqlookupd), raftlookupd: filepath.Join(dir, raftlookupd)}
	module, err := goCommand(ctx, ".", "list", "-m", "-f", "{{.Dir}}", self)
	if err != nil {
		return p, fmt.Errorf("run this in the directory bench: %w", err)
	}
	if p.goVersion, err = goCommand(ctx, module, "env", "GOVERSION"); err != nil {
		return p, err
	}
	for _, b := range []struct{ dir, output, pkg string }{
		{module, p.nsqlookupd, "github.com/nsqio/nsq/apps/nsqlookupd"},
		{filepath.Dir(module), p.raftlookupd, "./cmd/raftlookupd"},
	} {
		if _, err := goCommand(ctx, b.dir, "build", "-trimpath", "-buildvcs=false", "-o", b.output, b.pkg); err != nil {
			return p, err
		}
	}
	return p, nil
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
