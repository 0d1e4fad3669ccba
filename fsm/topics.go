package fsm

import "slices"

// What changes do to topics and channels. All of them work on topics that own has given out.

// own returns a value of the topic that the entry being applied may alter, and counts the topic
// as touched: what it shows may differ from now on. A value that no State shows is altered itself.
func (r *Registry) own(t *topic) *topic {
	switch {
	case t.modified == r.index:
		return t
	case t.modified <= r.shown:
		return r.put(t.clone(r.index))
	}
	t.modified = r.index
	r.work.touched = append(r.work.touched, t.name)
	return t
}

func (r *Registry) put(t *topic) *topic {
	r.topics.Set(t.name, t)
	r.work.touched = append(r.work.touched, t.name)
	return t
}

// touch makes the topic's answers be rendered anew: what they show of a producer has changed.
func (r *Registry) touch(name string) {
	if t, ok := r.topics.Get(name); ok {
		r.own(t)
	}
}

// createTopic makes the topic exist and returns it, owned unless it existed already.
func (r *Registry) createTopic(name string) *topic {
	t, ok := r.topics.Get(name)
	if !ok {
		t = r.put(newTopic(keep(name), r.index))
	}
	if !t.registered {
		t = r.own(t)
		t.registered = true
		r.counts.Topics++
		r.add(r.hash.topic(t.name))
		r.work.topicsListed = r.index
	}
	return t
}

// addChannel makes the channel exist and returns the topic.
func (r *Registry) addChannel(t *topic, name string) *topic {
	i, found := t.findChannel(name)
	if found {
		return t
	}
	t = r.own(t)
	t.channels = slices.Insert(t.channels, i, channel{name: keep(name)})
	r.counts.Channels++
	r.add(r.hash.channel(t.name, name))
	return t
}

// dropChannel removes a channel that nobody holds any more.
func (r *Registry) dropChannel(t *topic, i int) {
	r.counts.Channels--
	r.remove(r.hash.channel(t.name, t.channels[i].name))
	t.channels = slices.Delete(t.channels, i, i+1)
	r.forget(t)
}

// dropTopic makes the topic exist no longer; channels may stay.
func (r *Registry) dropTopic(t *topic) {
	if t.registered {
		t.registered = false
		r.counts.Topics--
		r.remove(r.hash.topic(t.name))
		r.work.topicsListed = r.index
	}
	r.forget(t)
}

// forget deletes a topic of which nothing is left.
func (r *Registry) forget(t *topic) {
	if !t.registered && len(t.channels) == 0 {
		r.topics.Delete(t.name)
	}
}

// eachTopic calls f for the topic of that name, or for every topic there is now.
func (r *Registry) eachTopic(name string, f func(*topic)) {
	if name != AllTopics {
		if t, ok := r.topics.Get(name); ok {
			f(t)
		}
		return
	}
	for _, t := range r.topics.Values() {
		f(t)
	}
}

func (r *Registry) deleteTopics(name string) {
	r.eachTopic(name, r.deleteTopic)
}

func (r *Registry) deleteTopic(t *topic) {
	t = r.own(t)
	for len(t.holders) > 0 {
		r.dropHolder(t, len(t.holders)-1)
	}
	for len(t.channels) > 0 {
		r.dropChannel(t, len(t.channels)-1)
	}
	r.dropTopic(t)
}

func (r *Registry) deleteChannel(topicName, name string) error {
	t, ok := r.topics.Get(topicName)
	if !ok || !t.hasChannel(name) {
		return ErrChannelNotFound
	}
	t = r.own(t)
	for i, h := range t.holders {
		if h.has(name) {
			r.releaseChannel(t, i, name)
		}
	}
	i, _ := t.findChannel(name)
	r.dropChannel(t, i)
	return nil
}

// prune removes the channel, or with "" the whole topic, unless a session holds it. What is not
// there is gone already.
func (r *Registry) prune(name, channelName string) error {
	t, ok := r.topics.Get(name)
	if !ok {
		return nil
	}
	if channelName == "" {
		if len(t.holders) > 0 {
			return ErrHeld
		}
		r.deleteTopic(t)
		return nil
	}
	i, found := t.findChannel(channelName)
	if !found {
		return nil
	}
	if t.channels[i].holders > 0 {
		return ErrHeld
	}
	r.dropChannel(r.own(t), i)
	return nil
}

// register gives the session the topic, and the channel unless it is "".
func (r *Registry) register(s *liveSession, name, channelName string) {
	t := r.createTopic(name)
	i, held := t.findHolder(s.identity)
	if held && (channelName == "" || t.holders[i].has(channelName)) {
		return
	}
	t = r.own(t)
	if !held {
		t.holders = slices.Insert(t.holders, i, newHolder(s.identity, r.index))
		s.topics[t.name] = struct{}{}
		r.add(r.hash.topicRegistration(s.serial, t.name))
		r.work.nodesListed = r.index
	}
	if channelName == "" {
		return
	}
	t = r.addChannel(t, channelName)
	c, _ := t.findChannel(channelName)
	t.channels[c].holders++
	t.ownHolder(i, r.shown).add(t.channels[c].name)
	r.add(r.hash.channelRegistration(s.serial, t.name, channelName))
}

// unregister takes the channel, or with "" the whole topic, from the session and from the orphans
// of its producer, for which nobody else will. An ephemeral channel or topic goes with its last
// holder, but not the channels of a topic: that is nsqlookupd's rule (nsqio/nsq,
// nsqlookupd/lookup_protocol_v1.go, UNREGISTER).
func (r *Registry) unregister(s *liveSession, name, channelName string) {
	t, ok := r.topics.Get(name)
	if !ok {
		return
	}
	for _, of := range r.withOrphans(s) {
		i, found := t.findHolder(of)
		switch {
		case !found:
		case channelName == "":
			t = r.own(t)
			r.dropHolder(t, i)
		case t.holders[i].has(channelName):
			t = r.own(t)
			r.releaseChannel(t, i, channelName)
		}
	}
	if channelName == "" {
		if len(t.holders) == 0 && t.registered && IsEphemeral(name) {
			r.dropTopic(r.own(t))
		}
		return
	}
	c, found := t.findChannel(channelName)
	if found && t.channels[c].holders == 0 && IsEphemeral(channelName) {
		r.dropChannel(r.own(t), c)
	}
}

// withOrphans is the session and the orphans of its producer.
func (r *Registry) withOrphans(s *liveSession) []*identity {
	found := []*identity{s.identity}
	for _, o := range r.producer(s.producer).sessions {
		if o.orphan && o.serial != s.serial {
			found = append(found, o.identity)
		}
	}
	return found
}

// releaseChannel takes a channel from the holder at i.
func (r *Registry) releaseChannel(t *topic, i int, name string) {
	h := t.ownHolder(i, r.shown)
	c, _ := t.findChannel(name)
	t.channels[c].holders--
	h.drop(name)
	r.remove(r.hash.channelRegistration(h.session.serial, t.name, name))
}

// dropHolder takes the topic and its channels from the holder at i.
func (r *Registry) dropHolder(t *topic, i int) {
	h := t.holders[i]
	for _, name := range h.channels {
		c, _ := t.findChannel(name)
		t.channels[c].holders--
		r.remove(r.hash.channelRegistration(h.session.serial, t.name, name))
	}
	t.holders = slices.Delete(t.holders, i, i+1)
	delete(r.sessions[h.session.key].topics, t.name)
	r.remove(r.hash.topicRegistration(h.session.serial, t.name))
	r.work.nodesListed = r.index
	if k := h.session.producer; !t.holds(k) {
		r.dropTombstone(t, k)
	}
}

// entomb hides the producers of the topic that are known as node: a new tombstone takes the place
// of an older one, so that its lifetime begins anew, as in nsqlookupd.
func (r *Registry) entomb(name, node string) {
	r.eachTopic(name, func(t *topic) {
		var last *producer
		for _, h := range t.holders {
			if last != nil && last.key == h.session.producer {
				continue
			}
			last = r.producer(h.session.producer)
			if last.shown().info.node() == node {
				t = r.own(t)
				r.dropTombstone(t, last.key)
				r.setTombstone(t, tombstone{producer: last.key, id: r.nextSerial()})
			}
		}
	})
}

func (r *Registry) setTombstone(t *topic, stone tombstone) {
	i, _ := t.findTombstone(stone.producer)
	t.tombstones = slices.Insert(t.tombstones, i, stone)
	r.counts.Tombstones++
	r.add(r.hash.tombstone(t.name, stone))
	r.work.nodesListed = r.index
	r.event(Event{Kind: TombstoneSet, ID: stone.id, Topic: t.name, Producer: stone.producer})
}

func (r *Registry) dropTombstone(t *topic, k ProducerKey) {
	if t.tombstone(k) == 0 {
		return
	}
	i, _ := t.findTombstone(k)
	stone := t.tombstones[i]
	t.tombstones = slices.Delete(t.tombstones, i, i+1)
	r.counts.Tombstones--
	r.remove(r.hash.tombstone(t.name, stone))
	r.work.nodesListed = r.index
	r.event(Event{Kind: TombstoneGone, ID: stone.id, Topic: t.name, Producer: k})
}

func (r *Registry) clearTombstone(name string, k ProducerKey, id uint64) {
	if t, ok := r.topics.Get(name); ok && t.tombstone(k) == id && id != 0 {
		r.dropTombstone(r.own(t), k)
	}
}
