package check

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func readManifests(t *testing.T) (Manifests, kustomization) {
	t.Helper()
	m, k, err := ReadManifests(kubernetes)
	if err != nil {
		t.Fatal(err)
	}
	return m, k
}

func TestManifests(t *testing.T) {
	m, k := readManifests(t)
	for _, bad := range CheckManifests(m, k, described) {
		t.Error(bad)
	}
}

// brokenText is what a reader must refuse: how a line is changed, and the complaint.
var brokenText = []struct{ file, old, new, want string }{
	{"statefulset.yaml", "replicas: 3", "replica: 3", `unknown field "spec.replica"`},
	{"statefulset.yaml", "replicas: 3", "Replicas: 3", `unknown field "spec.Replicas"`},
	{"statefulset.yaml", "replicas: 3", "replicas: 3\n  replicas: 3", `already set in map`},
	{"statefulset.yaml", "replicas: 3", "replicas: three", `cannot unmarshal`},
	{"statefulset.yaml", "apps/v1", "apps/v1beta1", `not expected here`},
	{"services.yaml", "publishNotReadyAddresses", "publishUnreadyAddresses", `unknown field`},
	{"poddisruptionbudget.yaml", "policy/v1", "policy/v1beta1", `not expected here`},
	{"kustomization.yaml", "newTag", "tag", `unknown field`},
	{"kustomization.yaml", "- services.yaml", "- service.yaml", `no such file`},
}

func TestBrokenFilesAreRefused(t *testing.T) {
	for _, c := range brokenText {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(kubernetes)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, c.file)
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), c.old) {
			t.Fatalf("%s lacks %s: %v", c.file, c.old, err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadManifests(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: error %v, want %s", c.file, c.new, err, c.want)
		}
	}
}

// podArgs returns the manifest's arguments for one of its pods, as the kubelet fills them in.
func podArgs(c corev1.Container, name string) []string {
	fill := strings.NewReplacer("$(POD_NAME)", name, "$(POD_NAMESPACE)", "nsq", "$(POD_IP)", "127.0.0.1")
	var args []string
	for _, arg := range c.Args {
		args = append(args, fill.Replace(arg))
	}
	return args
}

// The command lines of the pods, with what only Kubernetes has replaced, form a cluster, and the probes
// find what they ask for.
func TestPodsFormACluster(t *testing.T) {
	t.Parallel()
	m, _ := readManifests(t)
	c := m.StatefulSet.Spec.Template.Spec.Containers[0]
	var at []addresses
	var join []string
	for range *m.StatefulSet.Spec.Replicas {
		at = append(at, pick(t))
		join = append(join, at[len(at)-1].gossip)
	}
	var pods []*process
	for i, a := range at {
		args := slices.DeleteFunc(podArgs(c, fmt.Sprintf("%s-%d", m.StatefulSet.Name, i)), func(arg string) bool { return strings.HasPrefix(arg, "-join=") })
		args = slices.Concat(args, a.args(), []string{"-data-path=" + filepath.Join(t.TempDir(), "data"), "-join=" + strings.Join(join, ",")})
		pods = append(pods, start(t, serviceLinks(m), raftlookupd, args...))
	}
	for i, p := range pods {
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			p.answers(t, at[i].http, probe.HTTPGet.Path)
		}
	}
	for _, p := range pods {
		p.stop(t)
	}
}

// serviceLinks are variables that a kubelet makes for a Service unless it is told not to.
func serviceLinks(m Manifests) []string {
	var env []string
	for _, s := range m.Services {
		name := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
		env = append(env, name+"_SERVICE_HOST=10.0.0.1", name+"_SERVICE_PORT=4160", name+"_PORT=tcp://"+net.JoinHostPort("10.0.0.1", "4160"))
	}
	return env
}

// kubectl can build the kustomization by itself; whatever else it checks it asks a cluster for.
func TestKubectlBuildsTheKustomization(t *testing.T) {
	t.Parallel()
	needs(t, "kubectl")
	cmd := exec.Command("kubectl", "kustomize", kubernetes)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+os.DevNull, "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl kustomize: %v", err)
	}
	var m Manifests
	if err := m.addAll(out); err != nil {
		t.Fatal(err)
	}
	_, k := readManifests(t)
	want := k.Images[0].NewName + ":" + k.Images[0].NewTag
	if got := m.StatefulSet.Spec.Template.Spec.Containers[0].Image; got != want {
		t.Errorf("image %s, want %s", got, want)
	}
	k.Images[0].Name = want
	for _, bad := range CheckManifests(m, k, described) {
		t.Error(bad)
	}
}
