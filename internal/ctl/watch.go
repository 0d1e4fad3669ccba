package ctl

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// maxOlder is how many answers in a row may be older than what has been seen, as those of a replica
// that is behind are. More mean that the cluster was made anew.
const maxOlder = 10

func (p *program) watchCommand() *cobra.Command {
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "watch [TOPIC…]",
		Short: "Print changes of topics, channels and producers as they are seen",
		Long: `watch prints a line for each topic, channel and producer that comes or goes, and for each tombstone, of
the topics that are named or of all. It looks once in an --interval, so what comes and goes in
between is not seen. With several addresses it goes on when the replica that serves is lost. -o json
prints one object per line. It ends with Ctrl-C.`,
		Example: `  lookupctl watch
  lookupctl --addr lookup1,lookup2,lookup3 watch greetings orders
  lookupctl -o json watch | jq -r 'select(.event == "producer_removed") | .producer'`,
		Args:              takes("[TOPIC…]"),
		ValidArgsFunction: p.completeTopics(1 << 10),
		RunE: p.online(func(ctx context.Context, args []string) error {
			if interval < p.leastInterval {
				return usagef("--interval takes %s or more, not %s", p.leastInterval, interval)
			}
			w := &watching{program: p, only: args, interval: interval}
			if err := w.run(ctx); ctx.Err() == nil {
				return err
			}
			return nil // being interrupted is how it ends
		}),
	}
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "how often to look")
	return cmd
}

// watching is a watch that goes on.
type watching struct {
	*program
	only     []string // topics; all if empty
	interval time.Duration

	last  *view
	older int  // answers in a row that were older than last
	lost  bool // nobody answers
	base  string
}

func (w *watching) run(ctx context.Context) error {
	for w.last == nil { // again when one replica has begun to answer and another ended
		if err := w.look(ctx); err != nil {
			return err
		}
		if w.last == nil && !pause(ctx, w.interval) {
			return nil
		}
	}
	w.base = w.client.serving()
	w.note("watching %s at %s until Ctrl-C", count(len(w.last.channels), "topic", "topics"), w.base)
	for pause(ctx, w.interval) {
		err := w.look(ctx)
		if errors.Is(err, errOutput) {
			return err
		}
		w.tell(ctx, err)
	}
	return nil
}

// tell says once when nobody answers, and who does afterwards.
func (w *watching) tell(ctx context.Context, err error) {
	base := w.client.serving()
	switch {
	case ctx.Err() != nil:
	case err != nil && !w.lost:
		w.lost = true
		w.note("%v; trying on", err)
	case err == nil && (w.lost || base != w.base):
		w.lost, w.base = false, base
		w.note("%s answers now", base)
	}
}

// look prints what has changed since the last look.
func (w *watching) look(ctx context.Context) error {
	var at fingerprint
	err := w.client.get(ctx, "/cluster/fingerprint", nil, &at)
	var r *refusal
	if errors.As(err, &r) && r.status == http.StatusNotFound { // nsqlookupd has none
		err = nil
	}
	if err != nil || w.unchanged(at) {
		return err
	}
	base := w.client.serving()
	now, err := w.read(ctx)
	if err != nil || base != w.client.serving() { // a mixture of two replicas is no view
		return err
	}
	now.at = at
	events := differences(w.last, now, len(w.only) == 0)
	w.last, w.older = now, 0
	for _, e := range events {
		e.Time = w.clock().UTC().Truncate(time.Millisecond)
		if err := w.printEvent(e); err != nil {
			return err
		}
	}
	return nil
}

func (w *watching) unchanged(at fingerprint) bool {
	if w.last == nil || at.Fingerprint == "" {
		return false
	}
	if at.Index < w.last.at.Index {
		w.older++
		return w.older <= maxOlder
	}
	w.older = 0
	return at.Fingerprint == w.last.at.Fingerprint
}

func (w *watching) printEvent(e Event) error {
	return w.show(e, func(pg *page) { pg.line("%s  %s", e.Time.Local().Format(time.TimeOnly), e.text()) })
}

// view is what is watched.
type view struct {
	at        fingerprint
	channels  map[string]map[string]bool // by topic; the value is true
	producers map[string]map[string]bool // by node, the topics that it has, and whether it is tombstoned there
}

func (w *watching) read(ctx context.Context) (*view, error) {
	var topics topicList
	if err := w.client.get(ctx, "/topics", nil, &topics); err != nil {
		return nil, err
	}
	watched := slices.DeleteFunc(topics.Topics, func(t string) bool { return !w.wants(t) })
	channels, err := channelsOf(ctx, w.client, watched, func() {})
	if err != nil {
		return nil, err
	}
	v := &view{channels: make(map[string]map[string]bool), producers: make(map[string]map[string]bool)}
	for i, topic := range watched {
		v.channels[topic] = make(map[string]bool)
		for _, c := range channels[i] {
			v.channels[topic][c] = true
		}
	}
	var nodes nodeList
	if err := w.client.get(ctx, "/nodes", nil, &nodes); err != nil {
		return nil, err
	}
	for _, n := range nodes.nodes {
		has := make(map[string]bool)
		for _, t := range n.Topics {
			if w.wants(t.Name) {
				has[t.Name] = t.Tombstoned
			}
		}
		v.producers[n.Node] = has
	}
	return v, nil
}

func (w *watching) wants(topic string) bool {
	return len(w.only) == 0 || slices.Contains(w.only, topic)
}

// channelsOf asks for the channels of each topic, several at once. step is called for each, on any
// goroutine.
func channelsOf(ctx context.Context, c *client, topics []string, step func()) ([][]string, error) {
	channels := make([][]string, len(topics))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, topic := range topics {
		g.Go(func() error {
			var l channelList
			err := c.get(ctx, "/channels", topicQuery(topic), &l)
			channels[i] = l.Channels
			step()
			return err
		})
	}
	return channels, g.Wait()
}
