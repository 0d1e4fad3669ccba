package ctl

import (
	"cmp"
	"maps"
	"slices"
)

// The events of watch.
const (
	topicCreated     = "topic_created"
	topicDeleted     = "topic_deleted"
	channelCreated   = "channel_created"
	channelDeleted   = "channel_deleted"
	producerAdded    = "producer_added"
	producerRemoved  = "producer_removed"
	tombstoned       = "tombstoned"
	tombstoneCleared = "tombstone_cleared"
)

// differences says how one view became the next, without times; nothing for no earlier one. all
// says that every topic is watched, and so every producer, whatever it has.
func differences(from, to *view, all bool) []Event {
	if from == nil {
		return nil
	}
	var events []Event
	for _, topic := range union(from.channels, to.channels) {
		events = append(events, topicDifferences(topic, from, to)...)
	}
	for _, node := range union(from.producers, to.producers) {
		before, was := from.producers[node]
		after, is := to.producers[node]
		if all && is && !was {
			events = append(events, Event{Event: producerAdded, Producer: node})
		}
		events = append(events, producerDifferences(node, before, after)...)
		if all && was && !is {
			events = append(events, Event{Event: producerRemoved, Producer: node})
		}
	}
	return events
}

// topicDifferences has a topic come before its channels, and go after them.
func topicDifferences(topic string, from, to *view) []Event {
	var events []Event
	before, was := from.channels[topic]
	after, is := to.channels[topic]
	if is && !was {
		events = append(events, Event{Event: topicCreated, Topic: topic})
	}
	for _, channel := range union(before, after) {
		switch {
		case !before[channel]:
			events = append(events, Event{Event: channelCreated, Topic: topic, Channel: channel})
		case !after[channel]:
			events = append(events, Event{Event: channelDeleted, Topic: topic, Channel: channel})
		}
	}
	if was && !is {
		events = append(events, Event{Event: topicDeleted, Topic: topic})
	}
	return events
}

func producerDifferences(node string, before, after map[string]bool) []Event {
	var events []Event
	for _, topic := range union(before, after) {
		hidden, was := before[topic]
		hides, is := after[topic]
		add := func(event string) { events = append(events, Event{Event: event, Topic: topic, Producer: node}) }
		if is && !was {
			add(producerAdded)
		}
		if hides && !hidden {
			add(tombstoned)
		}
		if is && hidden && !hides {
			add(tombstoneCleared)
		}
		if was && !is {
			add(producerRemoved)
		}
	}
	return events
}

// union has the keys of both, sorted.
func union[K cmp.Ordered, V any](a, b map[K]V) []K {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

// text is an event for people.
func (e Event) text() string {
	switch e.Event {
	case topicCreated:
		return "+ topic " + e.Topic
	case topicDeleted:
		return "- topic " + e.Topic
	case channelCreated:
		return "+ channel " + e.Channel + " of " + e.Topic
	case channelDeleted:
		return "- channel " + e.Channel + " of " + e.Topic
	case producerAdded:
		return "+ producer " + e.Producer + ofTopic(e.Topic)
	case producerRemoved:
		return "- producer " + e.Producer + ofTopic(e.Topic)
	case tombstoned:
		return "~ producer " + e.Producer + " is tombstoned for " + e.Topic
	}
	return "~ producer " + e.Producer + " is tombstoned for " + e.Topic + " no longer"
}

func ofTopic(topic string) string {
	if topic == "" {
		return ""
	}
	return " of " + topic
}
