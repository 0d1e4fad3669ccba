package ctl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func (p *program) importCommand() *cobra.Command {
	var from []string
	var dry bool
	cmd := &cobra.Command{
		Use:   "import --from ADDRESS[,ADDRESS…]",
		Short: "Take over the topics and channels of nsqlookupds",
		Long: `import reads the topics, channels and tombstones of every nsqlookupd that is named, and creates here what is
missing. Ephemeral topics and channels are left out: they come with their nsqds. A tombstone is taken
over only for a producer that is registered here. Nothing is changed when one of the nsqlookupds does
not answer. It may be run again at any time: what is there already is left alone.`,
		Example: `  lookupctl import --from nsqlookupd1:4161,nsqlookupd2:4161 --dry-run
  lookupctl --addr lookup1 import --from http://nsqlookupd1:4161,http://nsqlookupd2:4161`,
		Args: takes(),
		RunE: p.online(func(ctx context.Context, _ []string) error {
			if len(from) == 0 {
				return usagef("import needs --from")
			}
			sources, err := parseAddrs(from)
			if err != nil {
				return err
			}
			return p.importFrom(ctx, sources, dry)
		}),
	}
	cmd.Flags().StringArrayVar(&from, "from", nil, "HTTP `address` of an nsqlookupd; repeatable and comma-separated")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be created")
	return cmd
}

func (p *program) importFrom(ctx context.Context, sources []string, dry bool) error {
	im := &importing{program: p, found: newInventory(), here: newInventory(),
		result: Imported{From: sources, DryRun: dry, Topics: newCounts(), Channels: newCounts(), Tombstones: newCounts()}}
	stop := p.progress(im.progress)
	err := im.run(ctx, sources)
	stop()
	if err != nil {
		return err
	}
	return p.show(im.result, func(pg *page) { writeImported(pg, im.result) })
}

// importing is an import that goes on.
type importing struct {
	*program
	found, here inventory
	result      Imported

	mu          sync.Mutex // guards what follows, and the counts of result
	stage       string
	done, total int
}

// stageIs begins a stage of so many steps.
func (im *importing) stageIs(stage string, total int) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.stage, im.done, im.total = stage, 0, total
}

func (im *importing) step() {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.done++
}

func (im *importing) progress() string {
	im.mu.Lock()
	defer im.mu.Unlock()
	return fmt.Sprintf("%s: %d of %d", im.stage, im.done, im.total)
}

func (im *importing) run(ctx context.Context, sources []string) error {
	for _, base := range sources {
		if err := im.read(ctx, im.client.only(base, im.client.timeout), "reading the channels of "+base, im.found); err != nil {
			why := strings.TrimPrefix(briefly(err), base+": ")
			return fmt.Errorf("read from %s: %s; nothing was changed: start it, or leave it out of --from", base, why)
		}
	}
	if err := im.read(ctx, im.client, "reading the channels here", im.here); err != nil {
		return fmt.Errorf("read what there is here: %w; nothing was changed", err)
	}
	for _, part := range []struct {
		name, path string
		things     []thing
		counts     *ImportCounts
	}{
		{"topics", "/topic/create", im.topics(), &im.result.Topics},
		{"channels", "/channel/create", im.channels(), &im.result.Channels},
		{"tombstones", "/topic/tombstone", im.tombstones(), &im.result.Tombstones},
	} {
		if err := im.create(ctx, part.name, part.path, part.things, part.counts); err != nil {
			r := im.result
			return fmt.Errorf("create %s: %w; %s and %s were created before that, and running it again goes on from there",
				part.name, err, count(r.Topics.Created, "topic", "topics"), count(r.Channels.Created, "channel", "channels"))
		}
	}
	return nil
}

// inventory is what one side has.
type inventory struct {
	channels  map[string]map[string]bool // by topic; the value is true
	producers map[string]map[string]bool // by topic, the nodes that have it, and whether each is tombstoned
}

func newInventory() inventory {
	return inventory{channels: make(map[string]map[string]bool), producers: make(map[string]map[string]bool)}
}

// read adds what one server has. Of topics that nobody imports from, it does not ask for channels.
func (im *importing) read(ctx context.Context, c *client, stage string, to inventory) error {
	var l topicList
	if err := c.get(ctx, "/topics", nil, &l); err != nil {
		return err
	}
	asked := slices.DeleteFunc(l.Topics, func(t string) bool {
		_, wanted := im.found.channels[t]
		return c == im.client && !wanted
	})
	im.stageIs(stage, len(asked))
	channels, err := channelsOf(ctx, c, asked, im.step)
	if err != nil {
		return err
	}
	for i, topic := range asked {
		if to.channels[topic] == nil {
			to.channels[topic] = make(map[string]bool)
		}
		for _, channel := range channels[i] {
			to.channels[topic][channel] = true
		}
	}
	var nodes nodeList
	if err := c.get(ctx, "/nodes", nil, &nodes); err != nil {
		return err
	}
	for _, n := range nodes.nodes {
		for _, t := range n.Topics {
			if to.producers[t.Name] == nil {
				to.producers[t.Name] = make(map[string]bool)
			}
			to.producers[t.Name][n.Node] = t.Tombstoned || to.producers[t.Name][n.Node]
		}
	}
	return nil
}

// Why something is not taken over.
const (
	skipEphemeral = "ephemeral"
	skipNoNode    = "not_registered" // the producer has not registered the topic here
	skipRefused   = "refused"        // the name is none that the registry takes
)

// thing is something that may have to be created.
type thing struct {
	query url.Values
	here  bool   // already
	skip  string // why not to
}

func isEphemeral(name string) bool { return strings.HasSuffix(name, "#ephemeral") }

func (im *importing) topics() []thing {
	var things []thing
	for _, topic := range slices.Sorted(maps.Keys(im.found.channels)) {
		t := thing{query: topicQuery(topic)}
		_, t.here = im.here.channels[topic]
		if isEphemeral(topic) {
			t.skip = skipEphemeral
		}
		things = append(things, t)
	}
	return things
}

func (im *importing) channels() []thing {
	var things []thing
	for _, topic := range slices.Sorted(maps.Keys(im.found.channels)) {
		for _, channel := range slices.Sorted(maps.Keys(im.found.channels[topic])) {
			t := thing{query: channelQuery(topic, channel), here: im.here.channels[topic][channel]}
			if isEphemeral(topic) || isEphemeral(channel) {
				t.skip = skipEphemeral
			}
			things = append(things, t)
		}
	}
	return things
}

func (im *importing) tombstones() []thing {
	var things []thing
	for _, topic := range slices.Sorted(maps.Keys(im.found.producers)) {
		for _, node := range slices.Sorted(maps.Keys(im.found.producers[topic])) {
			if !im.found.producers[topic][node] {
				continue
			}
			hidden, registered := im.here.producers[topic][node]
			t := thing{query: url.Values{"topic": {topic}, "node": {node}}, here: hidden}
			switch {
			case isEphemeral(topic):
				t.skip = skipEphemeral
			case !registered:
				t.skip = skipNoNode
			}
			things = append(things, t)
		}
	}
	return things
}

// create creates what is missing, several at once.
func (im *importing) create(ctx context.Context, name, path string, things []thing, counts *ImportCounts) error {
	var missing []thing
	for _, t := range things {
		counts.Found++
		switch {
		case t.skip != "":
			counts.Skipped[t.skip]++
		case t.here:
			counts.Already++
		default:
			missing = append(missing, t)
		}
	}
	im.stageIs("creating "+name, len(missing))
	if im.result.DryRun {
		counts.Created = len(missing)
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, t := range missing {
		g.Go(func() error { return im.createOne(ctx, path, t, counts) })
	}
	return g.Wait()
}

func (im *importing) createOne(ctx context.Context, path string, t thing, counts *ImportCounts) error {
	err := im.insist(ctx, path, t.query)
	im.step()
	im.mu.Lock()
	defer im.mu.Unlock()
	var r *refusal
	switch {
	case err == nil:
		counts.Created++
	case errors.As(err, &r) && r.status == http.StatusBadRequest:
		counts.Skipped[skipRefused]++
	default:
		return err
	}
	return nil
}

// insist asks again while the cluster is without a leader, for as long as one request may take.
func (im *importing) insist(ctx context.Context, path string, query url.Values) error {
	limit := time.Now().Add(im.client.timeout)
	for {
		err := im.client.change(ctx, path, query)
		if err == nil || !mayRepeat(err) || time.Now().After(limit) || !pause(ctx, im.pollEvery) {
			return err
		}
	}
}

func newCounts() ImportCounts { return ImportCounts{Skipped: make(map[string]int)} }

func writeImported(pg *page, r Imported) {
	created := "CREATED"
	if r.DryRun {
		created = "TO CREATE"
	}
	rows := [][]cell{head("", "FOUND", created, "ALREADY THERE", "SKIPPED")}
	for _, line := range []struct {
		name   string
		counts ImportCounts
	}{{"topics", r.Topics}, {"channels", r.Channels}, {"tombstones", r.Tombstones}} {
		c := line.counts
		rows = append(rows, texts(line.name, strconv.Itoa(c.Found), strconv.Itoa(c.Created), strconv.Itoa(c.Already), shownSkipped(c.Skipped)))
	}
	pg.table(rows)
}

func shownSkipped(skipped map[string]int) string {
	words := map[string]string{skipEphemeral: "ephemeral", skipNoNode: "of producers that are not registered here",
		skipRefused: "with names that are refused"}
	var shown []string
	for _, why := range slices.Sorted(maps.Keys(skipped)) {
		shown = append(shown, fmt.Sprintf("%d %s", skipped[why], words[why]))
	}
	if len(shown) == 0 {
		return "0"
	}
	return strings.Join(shown, ", ")
}
