package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	containersWithin = 90 * time.Second
	composeProject   = "raftlookupd-e2e"
)

// containers is the cluster of docker-compose.yml, under a name of its own.
type containers struct {
	*crowd
	ctx     context.Context
	compose []string // how compose is called
}

// TestContainers runs the repository's docker-compose.yml.
func TestContainers(t *testing.T) {
	oursOnly(t)
	if testing.Short() {
		t.Skip("builds images")
	}
	t.Parallel()
	w := startContainers(t)
	var clients []*client
	for i, first := range w.tcp() {
		clients = append(clients, startClient(t, fmt.Sprintf("nsqd-%d", i), append([]string{first}, w.tcp()...),
			"contained c", fmt.Sprintf("own-%d", i)))
	}
	w.clients = clients
	w.recovers(t)

	leader := w.settle(t)
	stop := w.watch(t, "contained", "nsqd-0:4150", "nsqd-1:4150", "nsqd-2:4150")
	w.must(t, "docker", "kill", w.id(t, leader))
	leader.away = true
	w.recovers(t)
	w.must(t, "docker", "start", w.id(t, leader))
	leader.away = false
	w.recovers(t)
	stop()

	// Docker's proxy ends the connections of a container's clients just before it cuts the network: to the replica
	// they have left, so that a gap is no fault here.
	follower := w.follower(t)
	network := composeProject + "_nsq"
	w.must(t, "docker", "network", "disconnect", network, w.id(t, follower))
	follower.away = true
	w.recovers(t)
	w.must(t, "docker", "network", "connect", "--alias", follower.name, network, w.id(t, follower))
	follower.away = false
	w.recovers(t)
}

// startContainers skips the test where it cannot be run.
func startContainers(t *testing.T) *containers {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), containersWithin)
	t.Cleanup(cancel)
	w := &containers{crowd: &crowd{cluster: &cluster{}}, ctx: ctx}
	skipUnless := func(what string, err error) {
		if err != nil {
			t.Skipf("%s: %v", what, err)
		}
	}
	_, err := w.run("docker", "info")
	skipUnless("no Docker", err)
	w.compose = []string{"docker", "compose"} // as the Makefile chooses
	if _, err := w.run("docker", "compose", "version"); err != nil {
		w.compose = []string{"docker-compose"}
		_, err := w.run("docker-compose", "version")
		skipUnless("no docker-compose", err)
	}
	w.compose = append(w.compose, "-p", composeProject, "-f", "../docker-compose.yml")
	w.must(t, append(w.compose, "down", "-v")...) // what a run that was killed has left
	for i := range 3 {
		r := &replica{lookupd: &lookupd{name: fmt.Sprintf("r%d", i+1), client: newHTTPClient(), readyPath: "/readyz"}}
		t.Cleanup(r.client.CloseIdleConnections)
		r.lookupd.tcp, r.http = fmt.Sprintf("127.0.0.1:41%d0", 6+i), fmt.Sprintf("127.0.0.1:41%d1", 6+i)
		for _, address := range []string{r.lookupd.tcp, r.http} {
			if !isFree(address) {
				t.Skipf("%s, which docker-compose.yml uses, is taken", address)
			}
		}
		w.replicas = append(w.replicas, r)
	}
	_, err = w.run("make", "-C", "..", "build", "image")
	skipUnless("the image cannot be built", err)
	t.Cleanup(func() { w.down(t) })
	w.must(t, append(w.compose, "up", "-d")...)
	w.settle(t)
	return w
}

// down removes everything, after having shown what the replicas have said if that matters.
func (w *containers) down(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.ctx = ctx
	if t.Failed() {
		out, err := w.run(append(w.compose, "logs", "--no-color")...)
		var said output
		said.text.WriteString(out)
		t.Log(said.tail(), err)
	}
	w.must(t, append(w.compose, "down", "-v", "-t", "5")...)
}

// id is the container of a replica.
func (w *containers) id(t *testing.T, r *replica) string {
	t.Helper()
	return strings.TrimSpace(w.must(t, append(w.compose, "ps", "-a", "-q", r.name)...))
}

func (w *containers) must(t *testing.T, command ...string) string {
	t.Helper()
	out, err := w.run(command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *containers) run(command ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.CommandContext(w.ctx, command[0], command[1:]...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), err
}
