package check

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Manifests are what is to be applied.
type Manifests struct {
	StatefulSet   *appsv1.StatefulSet
	Services      []*corev1.Service
	Budget        *policyv1.PodDisruptionBudget
	NetworkPolicy *networkingv1.NetworkPolicy
}

// kustomization is what is used of a kustomization.yaml. Its real types would bring in all of kustomize.
type kustomization struct {
	metav1.TypeMeta `json:",inline"`
	Resources       []string `json:"resources"`
	Images          []struct {
		Name    string `json:"name"`
		NewName string `json:"newName"`
		NewTag  string `json:"newTag"`
	} `json:"images"`
}

// ReadManifests reads what the kustomization.yaml of a folder names, and that file.
func ReadManifests(dir string) (Manifests, kustomization, error) {
	var m Manifests
	var k kustomization
	text, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err == nil {
		err = decode(text, &k)
	}
	if err != nil {
		return m, k, fmt.Errorf("read kustomization: %w", err)
	}
	for _, file := range k.Resources {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil {
			err = m.addAll(text)
		}
		if err != nil {
			return m, k, fmt.Errorf("read %s: %w", file, err)
		}
	}
	return m, k, nil
}

// addAll adds each document of a file.
func (m *Manifests) addAll(text []byte) error {
	for _, document := range bytes.Split(append([]byte("\n"), text...), []byte("\n---\n")) {
		if err := m.add(document); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manifests) add(document []byte) error {
	var is metav1.TypeMeta
	if err := yaml.Unmarshal(document, &is); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	var into any
	switch is.GroupVersionKind() {
	case appsv1.SchemeGroupVersion.WithKind("StatefulSet"):
		m.StatefulSet = new(appsv1.StatefulSet)
		into = m.StatefulSet
	case corev1.SchemeGroupVersion.WithKind("Service"):
		m.Services = append(m.Services, new(corev1.Service))
		into = m.Services[len(m.Services)-1]
	case policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"):
		m.Budget = new(policyv1.PodDisruptionBudget)
		into = m.Budget
	case networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"):
		m.NetworkPolicy = new(networkingv1.NetworkPolicy)
		into = m.NetworkPolicy
	default:
		return fmt.Errorf("%s is not expected here", is.GroupVersionKind())
	}
	return decode(document, into)
}

// decode is as strict as an API server: no unknown field, none twice, none in another case.
func decode(document []byte, into any) error {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(text, into)
	return errors.Join(append(strict, err)...)
}
