package bench

import "time"

// sizes says how much is done. Two registrations, a topic and its channel, come of each REGISTER.
type sizes struct {
	runs      int
	nsqds     int           // of a storm
	topics    int           // of each, with one channel
	channels  int           // registered one by one
	commits   int           // likewise, where each waits for a commit
	producers int           // of one topic
	clients   int           // that ask over HTTP at once
	load      time.Duration // how long they do, each run
	underLoad time.Duration // how long a storm with readers may take
	settle    time.Duration // until memory is read
	idle      int           // connections that only PING
	idleFor   time.Duration
	idlePing  time.Duration
	grown     int   // times what a storm has, for growth
	restarts  []int // REGISTERs that a replica has when it is restarted
	trials    int   // of failover and hand-over
	visible   int   // of visibility
}

// full takes less than a quarter of an hour on two cores.
func full() sizes {
	return sizes{
		runs: 3, nsqds: 1000, topics: 100, channels: 4000, commits: 2000, producers: 10_000, clients: 32,
		load: 2 * time.Second, settle: 5 * time.Second, underLoad: 10 * time.Second, idle: 10_000, idleFor: 30 * time.Second, idlePing: pingEvery,
		grown: 10, restarts: []int{100_000, 1_000_000}, trials: 10, visible: 500,
	}
}

// quick only shows that everything works.
func quick() sizes {
	return sizes{
		runs: 1, nsqds: 50, topics: 20, channels: 200, commits: 50, producers: 200, clients: 8,
		load: 200 * time.Millisecond, settle: 500 * time.Millisecond, underLoad: 5 * time.Second, idle: 300, idleFor: 2 * time.Second, idlePing: time.Second,
		grown: 10, restarts: []int{1000, 10_000}, trials: 1, visible: 20,
	}
}
