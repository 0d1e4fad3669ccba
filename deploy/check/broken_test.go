package check

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// breaking changes one thing in manifests that are right.
type breaking struct {
	want string // a part of the complaint
	how  func(m *Manifests, c *corev1.Container)
}

func TestBrokenManifestsAreFound(t *testing.T) {
	for _, b := range slices.Concat(brokenLabels(), brokenServices(), brokenFormation(), brokenRollouts(), brokenSecurity(), brokenContainers()) {
		m, k := readManifests(t)
		b.how(&m, &m.StatefulSet.Spec.Template.Spec.Containers[0])
		bad := CheckManifests(m, k, described)
		if !slices.ContainsFunc(bad, func(s string) bool { return strings.Contains(s, b.want) }) {
			t.Errorf("complaints %q, want %q", bad, b.want)
		}
	}
}

func brokenLabels() []breaking {
	other := map[string]string{"app.kubernetes.io/name": "other"}
	return []breaking{
		{"want one StatefulSet", func(m *Manifests, _ *corev1.Container) { m.Budget = nil }},
		{"StatefulSet does not select", func(m *Manifests, _ *corev1.Container) { m.StatefulSet.Spec.Selector.MatchLabels = other }},
		{"Service raftlookupd does not select", func(m *Manifests, _ *corev1.Container) { m.Services[0].Spec.Selector = other }},
		{"Service raftlookupd does not select", func(m *Manifests, _ *corev1.Container) { m.Services[0].Spec.Selector = nil }},
		{"Service raftlookupd-peers does not select", func(m *Manifests, _ *corev1.Container) { m.Services[1].Spec.Selector = other }},
		{"PodDisruptionBudget does not select", func(m *Manifests, _ *corev1.Container) { m.Budget.Spec.Selector.MatchLabels = other }},
		{"NetworkPolicy does not select", func(m *Manifests, _ *corev1.Container) { m.NetworkPolicy.Spec.PodSelector.MatchLabels = other }},
		{"kubernetes.io/hostname does not select", func(m *Manifests, _ *corev1.Container) {
			m.StatefulSet.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels = other
		}},
		{"is demanded", func(m *Manifests, _ *corev1.Container) {
			m.StatefulSet.Spec.Template.Spec.TopologySpreadConstraints[1].WhenUnsatisfiable = corev1.DoNotSchedule
		}},
		{"not spread over nodes", func(m *Manifests, _ *corev1.Container) {
			m.StatefulSet.Spec.Template.Spec.TopologySpreadConstraints = nil
		}},
		{"puts in no name for image other", func(_ *Manifests, c *corev1.Container) { c.Image = "other" }},
	}
}

func brokenServices() []breaking {
	return []breaking{
		{"must be the same one", func(m *Manifests, _ *corev1.Container) { m.StatefulSet.Spec.ServiceName = "raftlookupd" }},
		{"must be the same one", func(m *Manifests, _ *corev1.Container) { m.Services[1].Spec.ClusterIP = "" }},
		{"raftlookupd-peers publishes the wrong", func(m *Manifests, _ *corev1.Container) { m.Services[1].Spec.PublishNotReadyAddresses = false }},
		{"raftlookupd publishes the wrong", func(m *Manifests, _ *corev1.Container) { m.Services[0].Spec.PublishNotReadyAddresses = true }},
		{"the container has ports", func(_ *Manifests, c *corev1.Container) { c.Ports[0].ContainerPort = 4150 }},
		{"the container has ports", func(_ *Manifests, c *corev1.Container) { c.Ports = c.Ports[:4] }},
		{"Service raftlookupd has ports", func(m *Manifests, _ *corev1.Container) { m.Services[0].Spec.Ports[1].Port = 80 }},
		{"Service raftlookupd-peers has ports", func(m *Manifests, _ *corev1.Container) { m.Services[1].Spec.Ports[4].Protocol = "" }},
		{"port http leads to tcp", func(m *Manifests, _ *corev1.Container) {
			m.Services[0].Spec.Ports[1].TargetPort = intstr.FromString("tcp")
		}},
		{"opens [tcp http cluster] to everybody", func(m *Manifests, _ *corev1.Container) {
			open := &m.NetworkPolicy.Spec.Ingress[0]
			open.Ports = append(open.Ports, m.NetworkPolicy.Spec.Ingress[1].Ports[0])
		}},
		{"opens [tcp http cluster gossip gossip-udp] to everybody", func(m *Manifests, _ *corev1.Container) { m.NetworkPolicy.Spec.Ingress[1].From = nil }},
		{"opens [cluster gossip] to replicas", func(m *Manifests, _ *corev1.Container) {
			m.NetworkPolicy.Spec.Ingress[1].Ports = m.NetworkPolicy.Spec.Ingress[1].Ports[:2]
		}},
		{"gossip-udp with the wrong protocol", func(m *Manifests, _ *corev1.Container) {
			m.NetworkPolicy.Spec.Ingress[1].Ports[2].Protocol = nil
		}},
	}
}

// replaced changes the argument of a flag.
func replaced(flag, value string) func(*Manifests, *corev1.Container) {
	return func(_ *Manifests, c *corev1.Container) {
		for i, arg := range c.Args {
			if strings.HasPrefix(arg, "-"+flag+"=") {
				c.Args[i] = "-" + flag + "=" + value
			}
		}
	}
}

func brokenFormation() []breaking {
	return []breaking{
		{"-bootstrap-expect is \"3\" of 5", func(m *Manifests, _ *corev1.Container) { *m.StatefulSet.Spec.Replicas = 5 }},
		{"-bootstrap-expect is \"1\"", replaced("bootstrap-expect", "1")},
		{"-join is", replaced("join", "raftlookupd-0.raftlookupd-peers,raftlookupd-1.raftlookupd-peers")},
		{"-join is", replaced("join", "raftlookupd-0.raftlookupd,raftlookupd-1.raftlookupd,raftlookupd-2.raftlookupd")},
		{"-name is", replaced("name", "r1")},
		{"-broadcast-address is", replaced("broadcast-address", "$(POD_IP)")},
		{"-gossip-advertise-address is", replaced("gossip-advertise-address", "$(POD_NAME)")},
		{"the data path is not", replaced("data-path", "/tmp")},
		{"-no-such=1: not", func(_ *Manifests, c *corev1.Container) { c.Args = append(c.Args, "-no-such=1") }},
		{"healthcheck: not", func(_ *Manifests, c *corev1.Container) { c.Args = append(c.Args, "healthcheck") }},
		{"RAFTLOOKUPD_JOINS: no such setting", func(_ *Manifests, c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "RAFTLOOKUPD_JOINS", Value: "x"})
		}},
		{"POD_IP is not status.podIP", func(_ *Manifests, c *corev1.Container) { c.Env[2].ValueFrom.FieldRef.FieldPath = "status.hostIP" }},
		{"variables are missing", func(_ *Manifests, c *corev1.Container) { c.Env = c.Env[:2] }},
	}
}

func brokenRollouts() []breaking {
	unavailable := func(v intstr.IntOrString) func(*Manifests, *corev1.Container) {
		return func(m *Manifests, _ *corev1.Container) { m.Budget.Spec.MaxUnavailable = &v }
	}
	return []breaking{
		{"the first replica waits", func(m *Manifests, _ *corev1.Container) { m.StatefulSet.Spec.PodManagementPolicy = "" }},
		{"updateStrategy", func(m *Manifests, _ *corev1.Container) { m.StatefulSet.Spec.UpdateStrategy.Type = "OnDelete" }},
		{"minReadySeconds", func(m *Manifests, _ *corev1.Container) { m.StatefulSet.Spec.MinReadySeconds = 0 }},
		{"leaves no majority", unavailable(intstr.FromInt32(2))},
		{"leaves no majority", unavailable(intstr.FromString("50%"))},
		{"leaves no majority", func(m *Manifests, _ *corev1.Container) { m.Budget.Spec.MaxUnavailable = nil }},
		{"lets no node be drained", unavailable(intstr.FromInt32(0))},
		{"terminationGracePeriodSeconds", func(m *Manifests, _ *corev1.Container) {
			*m.StatefulSet.Spec.Template.Spec.TerminationGracePeriodSeconds = 27
		}},
		{"terminationGracePeriodSeconds", func(m *Manifests, _ *corev1.Container) {
			m.StatefulSet.Spec.Template.Spec.TerminationGracePeriodSeconds = nil
		}},
		{"before everybody has heard", func(_ *Manifests, c *corev1.Container) { c.Lifecycle = nil }},
	}
}

func brokenSecurity() []breaking {
	no, yes := false, true
	pod := func(how func(*corev1.PodSpec)) func(*Manifests, *corev1.Container) {
		return func(m *Manifests, _ *corev1.Container) { how(&m.StatefulSet.Spec.Template.Spec) }
	}
	return []breaking{
		{"automountServiceAccountToken", pod(func(s *corev1.PodSpec) { s.AutomountServiceAccountToken = nil })},
		{"enableServiceLinks", pod(func(s *corev1.PodSpec) { s.EnableServiceLinks = &yes })},
		{"pod's securityContext lacks", pod(func(s *corev1.PodSpec) { s.SecurityContext = nil })},
		{"runs as 1000:65532", pod(func(s *corev1.PodSpec) { *s.SecurityContext.RunAsUser = 1000 })},
		{"fsGroup 1", pod(func(s *corev1.PodSpec) { *s.SecurityContext.FSGroup = 1 })},
		{"runAsNonRoot", pod(func(s *corev1.PodSpec) { s.SecurityContext.RunAsNonRoot = nil })},
		{"seccompProfile", pod(func(s *corev1.PodSpec) { s.SecurityContext.SeccompProfile.Type = "Unconfined" })},
		{"container's securityContext lacks", func(_ *Manifests, c *corev1.Container) { c.SecurityContext = nil }},
		{"allowPrivilegeEscalation", func(_ *Manifests, c *corev1.Container) { c.SecurityContext.AllowPrivilegeEscalation = nil }},
		{"readOnlyRootFilesystem", func(_ *Manifests, c *corev1.Container) { c.SecurityContext.ReadOnlyRootFilesystem = &no }},
		{"capabilities are left", func(_ *Manifests, c *corev1.Container) {
			c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_RAW"}
		}},
		{"capabilities are left", func(_ *Manifests, c *corev1.Container) { c.SecurityContext.Capabilities.Drop = nil }},
	}
}

func brokenContainers() []breaking {
	return []breaking{
		{"a probe asks /readyz, want /livez", func(_ *Manifests, c *corev1.Container) { c.LivenessProbe.HTTPGet.Path = "/readyz" }},
		{"a probe asks /ready, want /readyz", func(_ *Manifests, c *corev1.Container) { c.ReadinessProbe.HTTPGet.Path = "/ready" }},
		{"a probe of /livez is missing", func(_ *Manifests, c *corev1.Container) { c.StartupProbe = nil }},
		{"asks port tcp", func(_ *Manifests, c *corev1.Container) { c.ReadinessProbe.HTTPGet.Port = intstr.FromString("tcp") }},
		{"requests of resources", func(_ *Manifests, c *corev1.Container) { c.Resources.Requests = nil }},
		{"limit of memory", func(_ *Manifests, c *corev1.Container) { delete(c.Resources.Limits, "memory") }},
		{"limit of CPU", func(_ *Manifests, c *corev1.Container) { c.Resources.Limits["cpu"] = resource.MustParse("1") }},
		{"want one volume", func(m *Manifests, _ *corev1.Container) { m.StatefulSet.Spec.VolumeClaimTemplates = nil }},
		{"volume other is mounted", func(_ *Manifests, c *corev1.Container) { c.VolumeMounts[0].Name = "other" }},
	}
}
