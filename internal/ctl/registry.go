package ctl

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func (p *program) topicsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "topics",
		Short:   "List the topics",
		Long:    "topics lists the topics of the registry, one per line.",
		Example: "  lookupctl topics | grep -c '#ephemeral$'",
		Args:    takes(),
		RunE:    p.online(p.topics),
	}
}

func (p *program) channelsCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "channels TOPIC",
		Short:             "List the channels of a topic",
		Long:              "channels lists the channels of a topic, one per line; none for a topic that there is not.",
		Example:           "  lookupctl channels greetings",
		Args:              takes("TOPIC"),
		ValidArgsFunction: p.completeTopics(1),
		RunE:              p.online(p.channels),
	}
}

func (p *program) lookupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lookup TOPIC",
		Short: "Show the producers and channels of a topic",
		Long: `lookup shows what a consumer is told of a topic: its channels, and the nsqds that have it, without those
that are tombstoned for it. NODE is what 'topic tombstone' takes.`,
		Example: `  lookupctl lookup greetings
  lookupctl -o json lookup greetings | jq -r '.producers[].node'`,
		Args:              takes("TOPIC"),
		ValidArgsFunction: p.completeTopics(1),
		RunE:              p.online(p.lookup),
	}
}

func (p *program) nodesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "nodes",
		Short: "List the nsqds with their topics",
		Long: `nodes lists the nsqds that are connected to any replica, or were until it was lost, with their topics.
NODE is what 'topic tombstone' takes; a topic that an nsqd is tombstoned for is marked.`,
		Example: `  lookupctl nodes
  lookupctl -o json nodes | jq -r '.producers[] | select(.topics == []) | .node'`,
		Args: takes(),
		RunE: p.online(p.nodes),
	}
}

func (p *program) topics(ctx context.Context, _ []string) error {
	var l topicList
	if err := p.client.get(ctx, "/topics", nil, &l); err != nil {
		return err
	}
	return p.show(Topics(l), func(pg *page) { lines(pg, l.Topics) })
}

func (p *program) channels(ctx context.Context, args []string) error {
	var l channelList
	if err := p.client.get(ctx, "/channels", topicQuery(args[0]), &l); err != nil {
		return err
	}
	return p.show(Channels{args[0], l.Channels}, func(pg *page) { lines(pg, l.Channels) })
}

func lines(pg *page, names []string) {
	for _, name := range names {
		pg.line("%s", name)
	}
}

func (p *program) lookup(ctx context.Context, args []string) error {
	var l Lookup
	if err := p.client.get(ctx, "/lookup", topicQuery(args[0]), &l); err != nil {
		return err
	}
	l.Topic = args[0]
	return p.show(l, func(pg *page) {
		channels := orDash(strings.Join(l.Channels, ", "))
		pg.table([][]cell{{{"Topic", loud}, {text: l.Topic}}, {{"Channels", loud}, {text: channels}}})
		pg.line("")
		rows := [][]cell{head(producerHead()...)}
		for _, n := range l.Producers {
			rows = append(rows, texts(producerRow(n)...))
		}
		pg.table(rows)
	})
}

func (p *program) nodes(ctx context.Context, _ []string) error {
	var l nodeList
	if err := p.client.get(ctx, "/nodes", nil, &l); err != nil {
		return err
	}
	return p.show(Nodes{l.nodes}, func(pg *page) {
		rows := [][]cell{head(append(producerHead(), "TOPICS")...)}
		for _, n := range l.nodes {
			rows = append(rows, append(texts(producerRow(n.Producer)...), cell{text: shownTopics(n.Topics)}))
		}
		pg.table(rows)
	})
}

func producerHead() []string {
	return []string{"NODE", "TCP PORT", "HOSTNAME", "VERSION", "ZONE", "REGION", "REMOTE ADDRESS"}
}

func producerRow(p Producer) []string {
	return []string{p.Node, strconv.Itoa(p.TCPPort), orDash(p.Hostname), orDash(p.Version),
		orDash(p.TopologyZone), orDash(p.TopologyRegion), orDash(p.RemoteAddress)}
}

// shownTopics names a few topics, and counts the others.
func shownTopics(topics []NodeTopic) string {
	const most = 5
	var shown []string
	for _, t := range topics[:min(len(topics), most)] {
		if t.Tombstoned {
			t.Name += " (tombstoned)"
		}
		shown = append(shown, t.Name)
	}
	if more := len(topics) - most; more > 0 {
		shown = append(shown, "and "+strconv.Itoa(more)+" more")
	}
	return orDash(strings.Join(shown, ", "))
}

func topicQuery(topic string) url.Values { return url.Values{"topic": {topic}} }

// completeTopics offers the topics, in a shell, for the first of so many arguments.
func (p *program) completeTopics(most int) cobra.CompletionFunc {
	return p.complete(most, func(ctx context.Context) []string {
		var l topicList
		if p.client.get(ctx, "/topics", nil, &l) != nil {
			return nil // a shell has no place for an error
		}
		return l.Topics
	})
}

// completeMembers likewise offers the names of replicas.
func (p *program) completeMembers() cobra.CompletionFunc {
	return p.complete(1, func(ctx context.Context) []string {
		s, err := p.askStatus(ctx)
		if err != nil {
			return nil
		}
		var names []string
		for _, m := range s.Members {
			names = append(names, m.Name)
		}
		return names
	})
}

func (p *program) complete(most int, names func(context.Context) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []string
		_ = p.online(func(ctx context.Context, _ []string) error {
			found = names(ctx)
			return nil
		})(cmd, args)
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}
