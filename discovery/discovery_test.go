package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	a = "a:4150"
	b = "b:4150"
	c = "c:4150"
)

// In a bubble the clock stands still while anybody works: what follows without a sleep comes at once.

func TestConnectsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1", "r2", "r3")
		net.lists(a, b)
		consumer, stop := net.begin(t, nil)
		consumer.expect("+"+a, "+"+b)
		net.lists(a, b, c)
		consumer.expect("+" + c)
		if got := net.takeRequests(); len(got) != 1 || !strings.HasSuffix(got[0], "/watch") {
			t.Errorf("requests %v", got)
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("Run returns %v", err)
		}
		consumer.expect() // and stays connected
	})
}

func TestATopicThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1")
		consumer, _ := net.begin(t, nil)
		consumer.expect()
		net.lists(a)
		consumer.expect("+" + a)
	})
}

func TestDisconnectsWhatIsGoneForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1", "r2")
		net.lists(a, b)
		consumer, _ := net.begin(t, nil)
		consumer.expect("+"+a, "+"+b)
		net.lists(a)
		time.Sleep(50 * time.Second)
		net.lists(a, b) // a blip
		time.Sleep(50 * time.Second)
		consumer.expect()
		net.lists() // the topic has gone
		time.Sleep(59 * time.Second)
		consumer.expect()
		time.Sleep(12 * time.Second) // the next heartbeat is evidence that it is still so
		consumer.expect("-"+a, "-"+b)
		net.lists(b)
		consumer.expect("+" + b)
	})
}

// Whoever is missing is so from anew when a replica is lost: the next one may know less.
func TestALostReplicaDisconnectsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1", "r2", "r3")
		net.lists(a, b)
		consumer, _ := net.begin(t, nil)
		first := net.followed()
		net.lists(a)
		time.Sleep(55 * time.Second)
		net.set(first, func(r *fakeReplica) { r.down = true })
		time.Sleep(time.Second)
		second := net.followed()
		if second == "" || second == first {
			t.Fatalf("%s is lost, %q is followed", first, second)
		}
		consumer.expect("+"+a, "+"+b)
		time.Sleep(50 * time.Second)
		consumer.expect()
		time.Sleep(20 * time.Second)
		consumer.expect("-" + b)
		net.lists(a, c) // and the second one is really followed
		consumer.expect("+" + c)
	})
}

func TestAllReplicasAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1", "r2", "r3")
		net.lists(a, b)
		consumer, _ := net.begin(t, nil)
		consumer.expect("+"+a, "+"+b)
		net.lists(a)
		for name := range net.replicas {
			net.set(name, func(r *fakeReplica) { r.down = true })
		}
		net.takeRequests()
		time.Sleep(time.Hour)
		consumer.expect()
		if n := len(net.takeRequests()); n < 3*2*200 || n > 3*2*400 { // 6 a round, of about 15 s
			t.Errorf("%d requests in an hour", n)
		}
		net.set("r2", func(r *fakeReplica) { r.down = false })
		net.lists(c)
		time.Sleep(20 * time.Second)
		consumer.expect("+" + c)
		if got := net.followed(); got != "r2" {
			t.Errorf("%q is followed", got)
		}
	})
}

// A stream that says nothing is taken for lost.
func TestASilentReplicaIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1", "r2")
		net.lists(a)
		net.begin(t, nil)
		time.Sleep(time.Hour)
		first := net.followed()
		if n := len(net.takeRequests()); n != 1 {
			t.Errorf("%d requests of one that beats", n)
		}
		net.set(first, func(r *fakeReplica) { r.mute = true })
		time.Sleep(31 * time.Second)
		if got := net.followed(); got == "" || got == first {
			t.Errorf("%s is silent, %q is followed", first, got)
		}
	})
}

// Replicas that end each stream at once are not asked all the time, and what they tell counts.
func TestStreamsThatDoNotLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1", "r2")
		net.lists(a)
		for name := range net.replicas {
			net.set(name, func(r *fakeReplica) { r.hasty = true })
		}
		consumer, _ := net.begin(t, nil)
		consumer.expect("+" + a)
		net.lists(a, b)
		time.Sleep(time.Second)
		consumer.expect("+" + b)
		net.takeRequests()
		time.Sleep(time.Hour)
		if n := len(net.takeRequests()); n < 4*200 || n > 4*400 { // 4 a round, of about 15 s
			t.Errorf("%d requests in an hour", n)
		}
	})
}

func TestRefusedReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1", "r2")
		net.lists(a)
		net.set("r1", func(r *fakeReplica) { r.status = 503 })
		consumer, _ := net.begin(t, func(cfg *Config) { cfg.Token = "secret" })
		consumer.expect("+" + a)
		if got := net.followed(); got != "r2" {
			t.Errorf("%q is followed", got)
		}
		if got := net.header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("authorization %q", got)
		}
	})
}

// TestStockLookupds: what any of them lists is connected, at the next poll; what none lists is missing.
func TestStockLookupds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "l1", "l2")
		for name, producers := range map[string][]string{"l1": {a}, "l2": {a, b}} {
			net.set(name, func(r *fakeReplica) { r.stock, r.producers = true, producers })
		}
		consumer, _ := net.begin(t, nil)
		consumer.expect("+"+a, "+"+b)
		if got, want := net.takeRequests(), []string{"l1:4161/lookup", "l1:4161/watch", "l2:4161/lookup", "l2:4161/watch"}; !slices.Equal(got, want) {
			t.Errorf("requests %v", got)
		}
		net.set("l1", func(r *fakeReplica) { r.producers = []string{a, c} })
		net.set("l2", func(r *fakeReplica) { r.producers = nil })
		time.Sleep(17 * time.Second)
		consumer.expect("+" + c)
		time.Sleep(30 * time.Second)
		net.set("l2", func(r *fakeReplica) { r.status = 500 }) // b may be there
		time.Sleep(10 * time.Minute)
		consumer.expect()
		net.set("l2", func(r *fakeReplica) { r.status = 0 })
		time.Sleep(50 * time.Second)
		consumer.expect()
		time.Sleep(45 * time.Second)
		consumer.expect("-" + b)
		net.takeRequests()
		time.Sleep(time.Hour)
		if n := len(net.takeRequests()); n < 4*200 || n > 4*280 { // 4 a round, of 15 s and a tenth
			t.Errorf("%d requests in an hour", n)
		}
		net.set("l1", func(r *fakeReplica) { r.stock = false }) // it has been replaced
		time.Sleep(17 * time.Second)
		if got := net.followed(); got != "l1" {
			t.Errorf("%q is followed", got)
		}
	})
}

func TestALostConnectionIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1")
		net.lists(a)
		consumer, _ := net.begin(t, nil)
		consumer.expect("+" + a)
		consumer.set(func() { delete(consumer.connected, a) })
		time.Sleep(10 * time.Second)
		consumer.expect("+" + a)
	})
}

func TestConnectionsThatFailAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, text := logged()
		net := newNet(t, "r1")
		net.lists(a, b)
		consumer, _ := net.begin(t, func(cfg *Config) { cfg.Logger = log })
		consumer.expect("+"+a, "+"+b)
		consumer.set(func() { consumer.refuses[c] = true })
		net.lists(a, b, c)
		time.Sleep(4 * time.Second) // after 0.25, 0.75, 1.75 and 3.75 s
		if n := consumer.attemptsAt(c); n != 5 {
			t.Errorf("%d attempts", n)
		}
		time.Sleep(time.Hour)
		if n := consumer.attemptsAt(c); n < 180 || n > 300 {
			t.Errorf("%d attempts in an hour", n)
		}
		if n := strings.Count(text(), "cannot connect"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
		net.lists(a, b) // nobody tries what is not listed
		before := consumer.attemptsAt(c)
		time.Sleep(30 * time.Second)
		if n := consumer.attemptsAt(c) - before; n != 0 {
			t.Errorf("%d attempts of one that is not listed", n)
		}
		net.lists(a, b, c) // and one that comes back is tried at once, whatever was before
		net.lists(a, b)
		consumer.set(func() { delete(consumer.refuses, c) })
		net.lists(a, b, c)
		consumer.expect("+" + c)
	})
}

// An nsqd that hangs holds up nobody else; it is not connected twice, nor disconnected meanwhile.
func TestConnectionsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1")
		net.lists(a)
		hang := make(chan struct{})
		consumer, stop := net.begin(t, nil)
		consumer.set(func() { consumer.hangs[b] = hang })
		net.lists(a, b)
		time.Sleep(time.Minute)
		net.lists(a, c)
		consumer.expect("+"+a, "+"+c)
		time.Sleep(5 * time.Minute)
		consumer.expect()
		ended := make(chan error, 1)
		go func() { ended <- stop() }()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Errorf("Run has returned %v before the consumer was connected", err)
		default:
		}
		close(hang)
		<-ended
		consumer.expect("+" + b)
	})
}

// Many are connected, so many at once, and each once.
func TestManyProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNet(t, "r1")
		var all, want []string
		for i := range 1000 {
			all = append(all, fmt.Sprintf("n%d:4150", i))
			want = append(want, "+"+all[i])
		}
		net.lists(a)
		consumer, _ := net.begin(t, nil)
		hang := make(chan struct{})
		consumer.set(func() {
			for _, address := range all {
				consumer.hangs[address] = hang
			}
		})
		net.lists(append(all, a)...)
		consumer.set(func() {
			if n := len(consumer.busy); n != maxConnecting {
				t.Errorf("%d connections are made at once", n)
			}
		})
		close(hang)
		consumer.expect(append(want, "+"+a)...)
	})
}

// Without the error that go-nsq has for it, what is connected already is no trouble.
func TestWithoutAlreadyConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, text := logged()
		net := newNet(t, "r1")
		net.lists(a)
		consumer, _ := net.begin(t, func(cfg *Config) { cfg.AlreadyConnected, cfg.Logger = nil, log })
		time.Sleep(time.Hour)
		consumer.expect("+" + a)
		if n := strings.Count(text(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings: %s", n, text())
		}
		if n := consumer.attemptsAt(a); n > 2*360 {
			t.Errorf("%d attempts in an hour", n)
		}
	})
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want []string
	}{
		{Config{Topic: "t", Addresses: []string{"r1:4161", "http://r1:4161/", "https://r2/lookupd/", "[::1]:4161"}}, nil},
		{Config{}, []string{"no address", "no topic"}},
		{Config{Topic: "t", Addresses: []string{"", "ftp://r1", "http://r1/?x=y", "http://r1:x"}, Linger: -1},
			[]string{`"http://" is not like`, `"ftp://r1" is not like`, `"http://r1/?x=y" is not like`, "invalid port", "negative"}},
	} {
		d, err := New(test.cfg)
		if len(test.want) == 0 {
			if err != nil || !slices.Equal(d.addresses, []string{"http://r1:4161", "https://r2/lookupd", "http://[::1]:4161"}) {
				t.Errorf("%v, %v", d, err)
			}
			continue
		}
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q", err, want)
			}
		}
	}
}
