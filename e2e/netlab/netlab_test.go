package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test program itself serves HTTP in a node, when it is told an address, and asks from one, when it is told a URL.
const serveAt, askFor = "NETLAB_SERVE", "NETLAB_ASK"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(serveAt) != "":
		err := http.ListenAndServe(os.Getenv(serveAt), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "hello")
		}))
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case os.Getenv(askFor) != "":
		os.Exit(ask(os.Getenv(askFor)))
	}
	goleak.VerifyTestMain(m)
}

func ask(url string) int {
	client := http.Client{Timeout: 300 * time.Millisecond}
	resp, err := client.Get(url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	resp.Body.Close()
	return 0
}

// lab returns one with servers on port 80 and 81 of each of its nodes.
func lab(t *testing.T, names ...string) (*Lab, []*Node) {
	t.Helper()
	if err := Check(); err != nil {
		if os.Getenv("E2E_STRICT") == "1" {
			t.Fatalf("%v, and E2E_STRICT=1", err)
		}
		t.Skip(err)
	}
	l, err := New(strings.ToLower(t.Name()), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if left := named(l.prefix); len(left) > 0 {
			t.Errorf("Close has left %v", left)
		}
	})
	var nodes []*Node
	for _, name := range names {
		n, err := l.Add(name)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
		for _, port := range []string{"80", "81"} {
			start(t, n, "server"+port, serveAt+"="+n.IP+":"+port)
		}
	}
	client := l.Client(time.Second)
	t.Cleanup(client.CloseIdleConnections)
	for _, n := range nodes {
		eventually(t, func() error { return get(client, n, 80) })
		eventually(t, func() error { return get(client, n, 81) })
	}
	return l, nodes
}

func start(t *testing.T, n *Node, name, variable string) *Process {
	t.Helper()
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := n.Start(name, "env", variable, me)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func named(prefix string) []string {
	var names []string
	entries, _ := os.ReadDir(namespaces)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

func get(client *http.Client, n *Node, port int) error {
	resp, err := client.Get(fmt.Sprintf("http://%s:%d/", n.IP, port))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// reaches tells whether a request from one node to a port of another is answered.
func reaches(t *testing.T, from, to *Node, port int) bool {
	t.Helper()
	p := start(t, from, "asker", fmt.Sprintf("%s=http://%s:%d/", askFor, to.IP, port))
	<-p.exited
	return p.cmd.ProcessState.ExitCode() == 0
}

func TestCuts(t *testing.T) {
	l, nodes := lab(t, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	client := l.Client(time.Second)
	defer client.CloseIdleConnections()
	for _, test := range []struct {
		name       string
		links      Links
		ab, ba, ac bool // does a reach b on port 80, b a, a c
		other      bool // does a reach b on port 81
	}{
		{"nothing", nil, true, true, true, true},
		{"two nodes", Between(a, b), false, false, true, false},
		{"one way", OneWay(a, b), false, false, true, false}, // a connection takes both
		{"a port", OneWay(a, b).Only("tcp", 80), false, true, true, true},
		{"a port of all protocols", Between(a, b).Only("", 80), false, false, true, true},
		{"UDP", Among(a, b, c).Only("udp", 0), true, true, true, true},
		{"all TCP", Between(a, b).Only("tcp", 0), false, false, true, false},
		{"around one", Around(a, a, b, c), false, false, false, false},
	} {
		heal, err := l.Cut(test.links)
		if err != nil {
			t.Fatal(test.name, err)
		}
		got := []bool{reaches(t, a, b, 80), reaches(t, b, a, 80), reaches(t, a, c, 80), reaches(t, a, b, 81)}
		if want := []bool{test.ab, test.ba, test.ac, test.other}; !slices.Equal(got, want) {
			t.Errorf("%s: a to b, b to a, a to c, another port: %v, want %v", test.name, got, want)
		}
		if err := errors.Join(get(client, a, 80), get(client, b, 80)); err != nil {
			t.Errorf("%s: the test itself is cut off: %v", test.name, err)
		}
		if err := heal(); err != nil {
			t.Fatal(test.name, err)
		}
		if !reaches(t, a, b, 80) {
			t.Errorf("%s: still cut when healed", test.name)
		}
	}
}

func TestCutsOverlap(t *testing.T) {
	l, nodes := lab(t, "a", "b")
	one, err1 := l.Cut(Between(nodes[0], nodes[1]))
	two, err2 := l.Cut(Between(nodes[0], nodes[1]).Only("tcp", 80))
	if err := errors.Join(err1, err2, one()); err != nil {
		t.Fatal(err)
	}
	if reaches(t, nodes[0], nodes[1], 80) || !reaches(t, nodes[0], nodes[1], 81) {
		t.Error("healing one cut has healed the other, or not itself")
	}
	if err := two(); err != nil || !reaches(t, nodes[0], nodes[1], 80) {
		t.Errorf("still cut when both are healed (%v)", err)
	}
}

func TestProcess(t *testing.T) {
	l, nodes := lab(t, "a")
	client := l.Client(300 * time.Millisecond)
	defer client.CloseIdleConnections()
	p := nodes[0].processes[0]
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { // some of its threads may run for a moment more
		if get(client, nodes[0], 80) == nil {
			return errors.New("a paused server answers")
		}
		return nil
	})
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return get(client, nodes[0], 80) })
	p.Kill()
	if !p.HasExited() || get(client, nodes[0], 80) == nil {
		t.Error("a killed server answers")
	}
	start(t, nodes[0], "server80", serveAt+"="+nodes[0].IP+":80")
	eventually(t, func() error { return get(client, nodes[0], 80) })
}

func TestSweepRemovesOnlyWhatNobodyOwns(t *testing.T) {
	l, _ := lab(t)
	dead := process{pid: os.Getpid(), start: "1"}.prefix() + "x-hub" // this process's number, but an earlier process
	gone := process{pid: 1 << 30, start: "1"}.prefix() + "x-hub"
	for _, name := range []string{dead, gone} {
		if err := errors.Join(ip("netns", "add", name), os.Mkdir(filepath.Join(os.TempDir(), name), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	own, err := TempDir()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(own)
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dead, gone} {
		if _, err := os.Stat(filepath.Join(os.TempDir(), name)); err == nil || len(named(name)) > 0 {
			t.Errorf("%s is left", name)
		}
	}
	if _, err := os.Stat(own); err != nil {
		t.Error(err)
	}
	if len(named(l.hub)) == 0 {
		t.Error("a lab that is in use is gone")
	}
}
