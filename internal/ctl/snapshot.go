package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/raftlookupd/raftlookupd/internal/snapfile"
)

func (p *program) snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Save the registry to a file, put it back, look into a file",
		Long: `snapshot keeps the registry in files that are checked whole whenever they are read. --timeout is how
long nothing may move, however long the whole takes.`,
		Example: `  lookupctl snapshot save registry.snap
  lookupctl snapshot inspect registry.snap
  lookupctl snapshot restore registry.snap`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(p.snapshotSave(), p.snapshotRestore(), p.snapshotInspect())
	return cmd
}

// completeFiles leaves it to the shell.
func completeFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func (p *program) snapshotSave() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "save FILE",
		Short: "Save the registry to a file",
		Long: `save writes the registry of the replica that is asked to FILE, or to the output for -. FILE appears only
when it is there whole, checked and on disk; one that exists is not overwritten unless it is forced.`,
		Example: `  lookupctl snapshot save registry.snap
  lookupctl snapshot save - | ssh backup 'cat > registry.snap'`,
		Args:              takes("FILE"),
		ValidArgsFunction: completeFiles,
		RunE: p.online(func(ctx context.Context, args []string) error {
			if args[0] == "-" {
				return p.saveToOutput(ctx)
			}
			return p.saveToFile(ctx, args[0], force)
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite a file that exists")
	return cmd
}

func (p *program) saveToOutput(ctx context.Context) error {
	if isTerminal(p.stdout) {
		return usagef("a snapshot is no text for a terminal: name a file, or redirect the output")
	}
	saved, err := p.fetch(ctx, "-", p.stdout)
	if err != nil {
		return err
	}
	p.note("saved %s at index %d", humanBytes(saved.Bytes), saved.Snapshot.Index)
	return nil
}

func (p *program) saveToFile(ctx context.Context, path string, force bool) error {
	if err := mayWrite(path, force); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	saved, err := p.fetch(ctx, path, temp)
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = mayWrite(path, force) // again: it has taken its time
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // what is wrong is said already
		return err
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	return p.show(saved, func(pg *page) {
		pg.line("saved %s: %s, %s, %s", path, humanBytes(saved.Bytes),
			count(saved.Snapshot.Topics, "topic", "topics"), count(saved.Snapshot.Channels, "channel", "channels"))
		pg.line("index %d, fingerprint %s, of cluster %s", saved.Snapshot.Index, saved.Snapshot.Fingerprint, orDash(saved.Snapshot.ClusterID))
	})
}

func mayWrite(path string, force bool) error {
	if _, err := os.Lstat(path); err == nil && !force {
		return fmt.Errorf("%s exists already: name another file, or overwrite it with --force", path)
	}
	return nil
}

// syncDir puts a directory's entries on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fetch writes the snapshot to w and checks it on the way.
func (p *program) fetch(ctx context.Context, path string, w io.Writer) (Saved, error) {
	saved := Saved{File: path}
	var n atomic.Int64
	defer p.progress(func() string { return "received " + humanBytes(n.Load()) })()
	out := &written{Writer: w}
	err := p.client.download(ctx, "/cluster/snapshot", &n, func(body io.Reader) error {
		var err error
		saved.Snapshot, err = check(io.TeeReader(body, out))
		if err != nil && out.err == nil {
			return badDownload(err)
		}
		return out.err
	})
	saved.Bytes = n.Load()
	if err != nil {
		return saved, fmt.Errorf("save snapshot: %w", err)
	}
	return saved, nil
}

// badDownload says what is wrong with what a replica sent. snapfile's own words are about files.
func badDownload(err error) error {
	switch {
	case errors.Is(err, snapfile.ErrDamaged):
		return errors.New("what came is damaged or cut short; nothing is saved, try again")
	case errors.Is(err, snapfile.ErrNotSnapshot):
		return errors.New("what came is no snapshot; is it the HTTP address of a raftlookupd?")
	case errors.Is(err, snapfile.ErrTooNew):
		return errors.New("the replica's snapshots have a newer form; use the lookupctl of its version, see 'lookupctl members'")
	}
	return err
}

// written remembers why its writer failed.
type written struct {
	io.Writer
	err error
}

func (w *written) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.err = errors.Join(w.err, err)
	return n, err
}

// check reads a whole snapshot. Its end is the end of r.
func check(r io.Reader) (snapfile.Header, error) {
	f, err := snapfile.NewReader(r)
	if err != nil {
		return snapfile.Header{}, err
	}
	if _, err := io.Copy(io.Discard, f); err != nil {
		return snapfile.Header{}, err
	}
	return f.Header, nil
}

func (p *program) snapshotInspect() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE",
		Short: "Check a file and show what it holds",
		Long:  "inspect reads a snapshot whole, checks it, and shows what it holds. It asks no replica. - is the input.",
		Example: `  lookupctl snapshot inspect registry.snap
  lookupctl -o json snapshot inspect registry.snap | jq -r .snapshot.taken_at`,
		Args:              takes("FILE"),
		ValidArgsFunction: completeFiles,
		RunE:              p.offline(p.inspect),
	}
}

func (p *program) inspect(_ context.Context, args []string) error {
	found, err := p.inspected(args[0])
	if err != nil {
		return err
	}
	return p.show(found, func(pg *page) {
		h := found.Snapshot
		rows := [][]cell{}
		row := func(title, format string, args ...any) {
			rows = append(rows, []cell{{title, loud}, {text: fmt.Sprintf(format, args...)}})
		}
		row("File", "%s, %s, whole", found.File, humanBytes(found.Bytes))
		row("Format", "%d", h.Format)
		row("Cluster", "%s", orDash(h.ClusterID))
		row("Index", "%d", h.Index)
		row("Fingerprint", "%s", h.Fingerprint)
		row("Taken", "%s, %s ago, by %s (version %s)", h.TakenAt.Format(time.RFC3339), humanDuration(p.clock().Sub(h.TakenAt)), orDash(h.TakenBy), orDash(h.Version))
		row("Holds", "%s, %s, %s from %s", count(h.Topics, "topic", "topics"), count(h.Channels, "channel", "channels"),
			count(h.Producers, "producer", "producers"), count(h.Sessions, "session", "sessions"))
		pg.table(rows)
	})
}

func (p *program) inspected(path string) (Inspected, error) {
	found := Inspected{File: path}
	var n atomic.Int64
	source := p.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return found, fmt.Errorf("read snapshot: %w", err)
		}
		defer func() { _ = file.Close() }()
		source = file
	}
	var err error
	found.Snapshot, err = check(&counted{Reader: source, n: &n, moved: func() {}})
	found.Bytes = n.Load()
	if err != nil {
		return found, fmt.Errorf("read snapshot %s: %w", path, err)
	}
	return found, nil
}

func (p *program) snapshotRestore() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a saved registry back",
		Long: `restore gives the cluster the topics and channels of a snapshot: it creates those that are missing and
deletes those that are not in the file, except what live nsqds hold, which stays. nsqds themselves
are not restored: they register again by themselves. The file is checked whole before anything is
sent, and again by the replica. A snapshot of another cluster is refused unless it is forced.`,
		Example: `  lookupctl snapshot restore registry.snap
  lookupctl --addr newcluster snapshot restore --force registry.snap`,
		Args:              takes("FILE"),
		ValidArgsFunction: completeFiles,
		RunE: p.online(func(ctx context.Context, args []string) error {
			return p.restore(ctx, args[0], force)
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "take a snapshot of another cluster")
	return cmd
}

func (p *program) restore(ctx context.Context, path string, force bool) error {
	if path == "-" {
		return usagef("snapshot restore reads its file twice, so it cannot be the input")
	}
	found, err := p.inspected(path)
	if err != nil {
		return err
	}
	var sent atomic.Int64
	body := upload{size: found.Bytes, sent: &sent, open: func() (io.ReadCloser, error) { return os.Open(path) }}
	stop := p.progress(func() string { return restoreProgress(sent.Load(), found.Bytes) })
	var done restored
	err = p.client.within(p.within(longPatience)).send(ctx, "/cluster/restore", forced(url.Values{}, force), body, &done)
	stop()
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	return p.show(done.Restored, func(pg *page) {
		pg.line("restored %s, taken %s by %s; the registry is at index %d", path,
			found.Snapshot.TakenAt.Format(time.RFC3339), orDash(found.Snapshot.TakenBy), done.Index)
		rows := [][]cell{head("", "CREATED", "REMOVED", "KEPT")}
		rows = append(rows, texts("topics", strconv.Itoa(done.TopicsCreated), strconv.Itoa(done.TopicsRemoved), strconv.Itoa(done.TopicsKept)))
		rows = append(rows, texts("channels", strconv.Itoa(done.ChannelsCreated), strconv.Itoa(done.ChannelsRemoved), strconv.Itoa(done.ChannelsKept)))
		pg.table(rows)
		if done.TopicsKept+done.ChannelsKept > 0 {
			pg.line("kept: not in the file, but held by live nsqds")
		}
	})
}

func restoreProgress(sent, size int64) string {
	if sent >= size {
		return "sent, waiting until it is in the log"
	}
	return fmt.Sprintf("sent %s of %s", humanBytes(sent), humanBytes(size))
}
