package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// CheckManifests complains of manifests that do not fit together, or not the program.
func CheckManifests(m Manifests, k kustomization, p Program) []string {
	var bad complaints
	if m.StatefulSet == nil || m.Budget == nil || m.NetworkPolicy == nil || len(m.Services) != 2 ||
		len(m.StatefulSet.Spec.Template.Spec.Containers) != 1 || m.StatefulSet.Spec.Replicas == nil {
		bad.add("want one StatefulSet with replicas and one container, two Services, a PodDisruptionBudget, a NetworkPolicy")
		return bad
	}
	c := &m.StatefulSet.Spec.Template.Spec.Containers[0]
	bad.unless(len(k.Images) == 1 && k.Images[0].Name == c.Image, "kustomization.yaml puts in no name for image %s", c.Image)
	m.checkLabels(&bad)
	m.checkServices(c, p, &bad)
	m.checkFormation(c, p, &bad)
	m.checkRollout(&bad)
	m.checkPod(p, &bad)
	checkContainer(c, p, &bad)
	checkProbes(c, &bad)
	m.checkEnding(c, p, &bad)
	m.checkData(c, &bad)
	m.checkNetwork(&bad)
	return bad
}

func (m Manifests) checkLabels(bad *complaints) {
	spec := m.StatefulSet.Spec
	selects := map[string]*metav1.LabelSelector{
		"StatefulSet": spec.Selector, "PodDisruptionBudget": m.Budget.Spec.Selector, "NetworkPolicy": &m.NetworkPolicy.Spec.PodSelector,
	}
	for _, s := range m.Services {
		selects["Service "+s.Name] = &metav1.LabelSelector{MatchLabels: s.Spec.Selector}
	}
	for _, c := range spec.Template.Spec.TopologySpreadConstraints {
		selects["spreading over "+c.TopologyKey] = c.LabelSelector
		bad.unless(c.WhenUnsatisfiable == corev1.ScheduleAnyway, "spreading over %s is demanded", c.TopologyKey)
	}
	bad.unless(selects["spreading over kubernetes.io/hostname"] != nil, "replicas are not spread over nodes")
	for _, who := range slices.Sorted(maps.Keys(selects)) {
		bad.unless(m.selects(selects[who]), "%s does not select the pods", who)
	}
}

// selects reports whether a selector is one of the pods; an empty one is of all pods.
func (m Manifests) selects(s *metav1.LabelSelector) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(m.StatefulSet.Spec.Template.Labels))
}

// replicaPorts are the flags whose ports there are, by the port's name.
var replicaPorts = map[string]struct {
	flag     string
	protocol corev1.Protocol
	clients  bool
}{
	"tcp":        {"tcp-address", corev1.ProtocolTCP, true},
	"http":       {"http-address", corev1.ProtocolTCP, true},
	"cluster":    {"cluster-address", corev1.ProtocolTCP, false},
	"gossip":     {"gossip-address", corev1.ProtocolTCP, false},
	"gossip-udp": {"gossip-address", corev1.ProtocolUDP, false},
}

func (m Manifests) checkServices(c *corev1.Container, p Program, bad *complaints) {
	got := make(map[string]string)
	for _, port := range c.Ports {
		got[port.Name] = fmt.Sprint(port.ContainerPort, orTCP(port.Protocol))
	}
	comparePorts("the container", got, p, false, bad)
	for _, s := range m.Services {
		headless := s.Spec.ClusterIP == corev1.ClusterIPNone
		peers := s.Name == m.StatefulSet.Spec.ServiceName
		bad.unless(headless == peers, "Service %s: headless and the StatefulSet's serviceName must be the same one", s.Name)
		bad.unless(s.Spec.PublishNotReadyAddresses == peers, "Service %s publishes the wrong replicas", s.Name)
		clear(got)
		for _, port := range s.Spec.Ports {
			bad.unless(port.TargetPort == intstr.FromString(port.Name), "Service %s: port %s leads to %s", s.Name, port.Name, port.TargetPort.String())
			got[port.Name] = fmt.Sprint(port.Port, orTCP(port.Protocol))
		}
		comparePorts("Service "+s.Name, got, p, !peers, bad)
	}
}

// comparePorts complains of ports that are not those of the program, or of its clients.
func comparePorts(where string, got map[string]string, p Program, clients bool, bad *complaints) {
	want := make(map[string]string)
	for name, port := range replicaPorts {
		if port.clients || !clients {
			want[name] = p.port(port.flag) + string(port.protocol)
		}
	}
	bad.unless(maps.Equal(got, want), "%s has ports %v, want %v", where, got, want)
}

func orTCP(p corev1.Protocol) string {
	if p == "" {
		return string(corev1.ProtocolTCP)
	}
	return string(p)
}

// checkFormation looks at what makes one cluster of the replicas.
func (m Manifests) checkFormation(c *corev1.Container, p Program, bad *complaints) {
	flags := p.checkArgs(c.Args, bad)
	replicas := int(*m.StatefulSet.Spec.Replicas)
	bad.unless(flags["bootstrap-expect"] == fmt.Sprint(replicas), "-bootstrap-expect is %q of %d replicas", flags["bootstrap-expect"], replicas)
	var names []string
	for i := range replicas {
		names = append(names, fmt.Sprintf("%s-%d.%s", m.StatefulSet.Name, i, m.StatefulSet.Spec.ServiceName))
	}
	bad.unless(flags["join"] == strings.Join(names, ","), "-join is %s, want %s", flags["join"], names)
	for flag, want := range map[string]string{
		"name":                      "$(POD_NAME)",
		"broadcast-address":         "$(POD_NAME)." + m.StatefulSet.Spec.ServiceName + ".$(POD_NAMESPACE).svc",
		"cluster-advertise-address": "$(POD_IP)",
		"gossip-advertise-address":  "$(POD_IP)",
	} {
		bad.unless(flags[flag] == want, "-%s is %q, want %q", flag, flags[flag], want)
	}
}

// checkRollout looks at how many replicas go at a time.
func (m Manifests) checkRollout(bad *complaints) {
	spec := m.StatefulSet.Spec
	bad.unless(spec.PodManagementPolicy == "Parallel", "podManagementPolicy: the first replica waits for the others, which wait for it")
	bad.unless(spec.UpdateStrategy.Type == "RollingUpdate", "updateStrategy is not RollingUpdate")
	bad.unless(spec.MinReadySeconds >= 15, "minReadySeconds %d is below nsqd's PING interval, 15 s", spec.MinReadySeconds)
	replicas := int(*spec.Replicas)
	gone := replicas
	if most := m.Budget.Spec.MaxUnavailable; most != nil {
		gone, _ = intstr.GetScaledValueFromIntOrPercent(most, replicas, true)
	}
	bad.unless(gone >= 1, "the PodDisruptionBudget lets no node be drained")
	bad.unless(replicas-gone > replicas/2, "the PodDisruptionBudget leaves no majority: %d of %d may go", gone, replicas)
}

func (m Manifests) checkPod(p Program, bad *complaints) {
	pod := m.StatefulSet.Spec.Template.Spec
	bad.unless(isFalse(pod.AutomountServiceAccountToken), "automountServiceAccountToken is not false")
	bad.unless(isFalse(pod.EnableServiceLinks), "enableServiceLinks is not false")
	s := pod.SecurityContext
	if s == nil || s.RunAsUser == nil || s.RunAsGroup == nil || s.FSGroup == nil || s.SeccompProfile == nil {
		bad.add("the pod's securityContext lacks something")
		return
	}
	bad.unless(fmt.Sprintf("%d:%d", *s.RunAsUser, *s.RunAsGroup) == p.User, "runs as %d:%d, the image as %s", *s.RunAsUser, *s.RunAsGroup, p.User)
	bad.unless(*s.FSGroup == *s.RunAsGroup, "fsGroup %d is not its group", *s.FSGroup)
	bad.unless(s.RunAsNonRoot != nil && *s.RunAsNonRoot, "runAsNonRoot is not true")
	bad.unless(s.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault, "seccompProfile is not RuntimeDefault")
}

func isFalse(b *bool) bool { return b != nil && !*b }

func checkContainer(c *corev1.Container, p Program, bad *complaints) {
	known := map[string]string{"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace", "POD_IP": "status.podIP"}
	for _, e := range c.Env {
		p.checkVariable(e.Name, bad)
		if field, is := known[e.Name]; is {
			bad.unless(e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == field, "%s is not %s", e.Name, field)
			delete(known, e.Name)
		}
	}
	bad.unless(len(known) == 0, "variables are missing: %v", known)
	s := c.SecurityContext
	if s == nil || s.Capabilities == nil || s.ReadOnlyRootFilesystem == nil {
		bad.add("the container's securityContext lacks something")
		return
	}
	bad.unless(isFalse(s.AllowPrivilegeEscalation), "allowPrivilegeEscalation is not false")
	bad.unless(*s.ReadOnlyRootFilesystem, "readOnlyRootFilesystem is not true")
	bad.unless(slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(s.Capabilities.Add) == 0, "capabilities are left")
	bad.unless(!c.Resources.Requests.Cpu().IsZero() && !c.Resources.Requests.Memory().IsZero(), "requests of resources are missing")
	bad.unless(!c.Resources.Limits.Memory().IsZero(), "the limit of memory is missing")
	bad.unless(c.Resources.Limits.Cpu().IsZero(), "a limit of CPU can hold it back for longer than -raft-timeout")
}

// checkProbes wants liveness not to depend on the other replicas, and readiness to.
func checkProbes(c *corev1.Container, bad *complaints) {
	for path, probes := range map[string][]*corev1.Probe{"/livez": {c.StartupProbe, c.LivenessProbe}, "/readyz": {c.ReadinessProbe}} {
		for _, probe := range probes {
			if probe == nil || probe.HTTPGet == nil {
				bad.add("a probe of %s is missing", path)
				continue
			}
			bad.unless(probe.HTTPGet.Path == path, "a probe asks %s, want %s", probe.HTTPGet.Path, path)
			bad.unless(probe.HTTPGet.Port == intstr.FromString("http"), "the probe of %s asks port %s", path, probe.HTTPGet.Port.String())
		}
	}
}

func (m Manifests) checkEnding(c *corev1.Container, p Program, bad *complaints) {
	var pause, grace time.Duration
	if l := c.Lifecycle; l != nil && l.PreStop != nil && l.PreStop.Sleep != nil {
		pause = time.Duration(l.PreStop.Sleep.Seconds) * time.Second
	}
	bad.unless(pause > 0, "it stops before everybody has heard that it goes")
	if g := m.StatefulSet.Spec.Template.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = time.Duration(*g) * time.Second
	}
	bad.unless(grace > pause+p.Stops, "terminationGracePeriodSeconds %s is not above the %s that stopping takes", grace, pause+p.Stops)
}

// checkData wants the data path, and nothing else, on a volume of the replica's own.
func (m Manifests) checkData(c *corev1.Container, bad *complaints) {
	claims := m.StatefulSet.Spec.VolumeClaimTemplates
	if len(claims) != 1 || len(c.VolumeMounts) != 1 {
		bad.add("want one volume")
		return
	}
	mount := c.VolumeMounts[0]
	bad.unless(mount.Name == claims[0].Name, "volume %s is mounted, %s claimed", mount.Name, claims[0].Name)
	bad.unless(slices.Contains(c.Args, "-data-path="+mount.MountPath), "the data path is not the volume %s", mount.MountPath)
}

// checkNetwork wants the ports of clients open to all, the others to replicas only.
func (m Manifests) checkNetwork(bad *complaints) {
	open := map[bool][]string{}
	for _, rule := range m.NetworkPolicy.Spec.Ingress {
		for _, port := range rule.Ports {
			if port.Port == nil || port.Port.StrVal == "" {
				bad.add("the NetworkPolicy opens a port without a name")
				continue
			}
			want := replicaPorts[port.Port.StrVal].protocol
			bad.unless((port.Protocol == nil && want == corev1.ProtocolTCP) || (port.Protocol != nil && *port.Protocol == want),
				"the NetworkPolicy opens %s with the wrong protocol", port.Port.StrVal)
			open[m.onlyReplicas(rule.From)] = append(open[m.onlyReplicas(rule.From)], port.Port.StrVal)
		}
	}
	bad.unless(fmt.Sprint(open[false]) == "[tcp http]", "the NetworkPolicy opens %v to everybody", open[false])
	bad.unless(fmt.Sprint(open[true]) == "[cluster gossip gossip-udp]", "the NetworkPolicy opens %v to replicas", open[true])
}

func (m Manifests) onlyReplicas(from []networkingv1.NetworkPolicyPeer) bool {
	return len(from) == 1 && from[0].PodSelector != nil && from[0].NamespaceSelector == nil && from[0].IPBlock == nil && m.selects(from[0].PodSelector)
}
