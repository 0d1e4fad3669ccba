package httpapi

import (
	"net/http"

	"github.com/raftlookupd/raftlookupd/fsm"
)

func (s *Server) createTopic(w http.ResponseWriter, r *http.Request) answer {
	_, topic, problem := topicParam(r)
	if problem != nil {
		return *problem
	}
	if !fsm.ValidName(topic) {
		return answerInvalidTopic
	}
	return s.change(w, r, fsm.CreateTopic(topic))
}

func (s *Server) deleteTopic(w http.ResponseWriter, r *http.Request) answer {
	_, topic, problem := topicParam(r)
	if problem != nil {
		return *problem
	}
	if !mayExist(topic) {
		return answerDone
	}
	return s.change(w, r, fsm.DeleteTopic(topic))
}

func (s *Server) tombstone(w http.ResponseWriter, r *http.Request) answer {
	q, topic, problem := topicParam(r)
	if problem != nil {
		return *problem
	}
	node, ok := q.get("node")
	if !ok {
		return answerMissingNode
	}
	if !mayExist(topic) || len(node) > maxNodeLength {
		return answerDone
	}
	return s.change(w, r, fsm.Tombstone(topic, node))
}

// maxNodeLength is far beyond any broadcast address and port; a longer text names no producer and
// must not fill the log.
const maxNodeLength = 4 << 10

// mayExist reports whether a topic, or all of them, can be meant. nsqlookupd does not look at the
// name in /topic/delete and /topic/tombstone; one that cannot exist needs no place in the log.
func mayExist(topic string) bool { return topic == fsm.AllTopics || fsm.ValidName(topic) }

func (s *Server) createChannel(w http.ResponseWriter, r *http.Request) answer {
	topic, channel, problem := channelParams(r)
	if problem != nil {
		return *problem
	}
	return s.change(w, r, fsm.CreateChannel(topic, channel))
}

func (s *Server) deleteChannel(w http.ResponseWriter, r *http.Request) answer {
	topic, channel, problem := channelParams(r)
	if problem != nil {
		return *problem
	}
	return s.change(w, r, fsm.DeleteChannel(topic, channel))
}

// channelParams checks the topic wholly before it looks for the channel (nsqio/nsq,
// internal/http_api/topic_channel_args.go). When problem is not nil it is the answer.
func channelParams(r *http.Request) (topic, channel string, problem *answer) {
	q, topic, problem := topicParam(r)
	if problem != nil {
		return "", "", problem
	}
	if !fsm.ValidName(topic) {
		return "", "", &answerInvalidTopic
	}
	channel, ok := q.get("channel")
	if !ok {
		return "", "", &answerMissingChannel
	}
	if !fsm.ValidName(channel) {
		return "", "", &answerInvalidChannel
	}
	return topic, channel, nil
}

func (s *Server) change(w http.ResponseWriter, r *http.Request, c fsm.Change) answer {
	err := s.cfg.Replica.Change(r.Context(), c)
	s.renewWrite(w)
	if err != nil {
		return s.failure(r, err)
	}
	return answerDone
}
