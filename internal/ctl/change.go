package ctl

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"
)

func (p *program) topicCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topic",
		Short: "Create, delete or tombstone a topic",
		Long:  "topic changes the registry. Each change is done when a majority of the voters has it.",
		Example: `  lookupctl topic create greetings
  lookupctl topic tombstone greetings nsqd1:4151`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(p.topicCreate(), p.topicDelete(), p.topicTombstone())
	return cmd
}

func (p *program) channelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "channel",
		Short: "Create or delete a channel",
		Long:  "channel changes the registry. Each change is done when a majority of the voters has it.",
		Example: `  lookupctl channel create greetings archive
  lookupctl channel delete greetings archive`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(p.channelCreate(), p.channelDelete())
	return cmd
}

func (p *program) topicCreate() *cobra.Command {
	return &cobra.Command{
		Use:     "create TOPIC",
		Short:   "Create a topic",
		Long:    "create creates a topic. It is no error when there is one already.",
		Example: "  lookupctl topic create greetings",
		Args:    takes("TOPIC"),
		RunE: p.online(func(ctx context.Context, args []string) error {
			return p.change(ctx, "/topic/create", topicQuery(args[0]), Changed{Done: "created", Topic: args[0]})
		}),
	}
}

func (p *program) topicDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete TOPIC",
		Short: "Delete a topic with its channels",
		Long: `delete deletes a topic, its channels, and what nsqds have registered of them. It is no error when there
is none. An nsqd that has the topic keeps it, and registers it again when it connects again: delete it
there too (nsqadmin does both).`,
		Example:           "  lookupctl topic delete greetings",
		Args:              takes("TOPIC"),
		ValidArgsFunction: p.completeTopics(1),
		RunE: p.online(func(ctx context.Context, args []string) error {
			if args[0] == "*" {
				return usagef("topic delete takes one topic, and * would mean all of them")
			}
			return p.change(ctx, "/topic/delete", topicQuery(args[0]), Changed{Done: "deleted", Topic: args[0]})
		}),
	}
}

func (p *program) topicTombstone() *cobra.Command {
	return &cobra.Command{
		Use:   "tombstone TOPIC NODE",
		Short: "Hide an nsqd from the consumers of a topic for a while",
		Long: `tombstone hides an nsqd from lookups of a topic for -tombstone-lifetime (45 s), so that the topic can be
deleted there before consumers find it again. NODE is its broadcast_address:http_port, as 'nodes' and
'lookup' show it.`,
		Example:           "  lookupctl topic tombstone greetings nsqd1:4151",
		Args:              takes("TOPIC", "NODE"),
		ValidArgsFunction: p.completeTopics(1),
		RunE: p.online(func(ctx context.Context, args []string) error {
			return p.change(ctx, "/topic/tombstone", url.Values{"topic": {args[0]}, "node": {args[1]}}, Changed{Done: "tombstoned", Topic: args[0], Node: args[1]})
		}),
	}
}

func (p *program) channelCreate() *cobra.Command {
	return &cobra.Command{
		Use:               "create TOPIC CHANNEL",
		Short:             "Create a channel, and its topic",
		Long:              "create creates a channel, and its topic if there is none. It is no error when there is one already.",
		Example:           "  lookupctl channel create greetings archive",
		Args:              takes("TOPIC", "CHANNEL"),
		ValidArgsFunction: p.completeTopics(1),
		RunE: p.online(func(ctx context.Context, args []string) error {
			return p.change(ctx, "/channel/create", channelQuery(args[0], args[1]), Changed{Done: "created", Topic: args[0], Channel: args[1]})
		}),
	}
}

func (p *program) channelDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete TOPIC CHANNEL",
		Short: "Delete a channel",
		Long: `delete deletes a channel, and what nsqds have registered of it. An nsqd that has the channel keeps it,
and registers it again when it connects again: delete it there too (nsqadmin does both).`,
		Example:           "  lookupctl channel delete greetings archive",
		Args:              takes("TOPIC", "CHANNEL"),
		ValidArgsFunction: p.completeTopics(1),
		RunE: p.online(func(ctx context.Context, args []string) error {
			return p.change(ctx, "/channel/delete", channelQuery(args[0], args[1]), Changed{Done: "deleted", Topic: args[0], Channel: args[1]})
		}),
	}
}

// change asks for a change and says that it is done.
func (p *program) change(ctx context.Context, path string, query url.Values, c Changed) error {
	if err := p.client.change(ctx, path, query); err != nil {
		return err
	}
	return p.show(c, func(pg *page) {
		switch {
		case c.Channel != "":
			pg.line("%s channel %s of topic %s", c.Done, c.Channel, c.Topic)
		case c.Node != "":
			pg.line("%s %s for topic %s", c.Done, c.Node, c.Topic)
		default:
			pg.line("%s topic %s", c.Done, c.Topic)
		}
	})
}

func channelQuery(topic, channel string) url.Values {
	return url.Values{"topic": {topic}, "channel": {channel}}
}
