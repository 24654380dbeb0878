// inject: what Dapr's own injector makes of a pod.
//
// A Deployment comes in on standard input as JSON; the pod goes out, with the
// sidecar in it, as the injector of the pinned Dapr version would have it with
// the values of its Helm chart. An annotation below dapr.io/ that the injector
// does not know is an error: it would be ignored in silence.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/dapr/dapr/pkg/injector/patcher"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "inject:", err)
		os.Exit(1)
	}
}

func run() error {
	var deployment appsv1.Deployment
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&deployment); err != nil {
		return err
	}
	pod := &corev1.Pod{
		ObjectMeta: deployment.Spec.Template.ObjectMeta,
		Spec:       deployment.Spec.Template.Spec,
	}
	pod.Namespace = deployment.Namespace
	if err := onlyKnown(pod.Annotations); err != nil {
		return err
	}
	patched, err := inject(pod)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(patched)
}

func onlyKnown(annotations map[string]string) error {
	known := map[string]bool{}
	config := reflect.TypeFor[patcher.SidecarConfig]()
	for i := range config.NumField() {
		known[config.Field(i).Tag.Get("annotation")] = true
	}
	for key := range annotations {
		if strings.HasPrefix(key, "dapr.io/") && !known[key] {
			return fmt.Errorf("Dapr's injector knows no annotation %s", key)
		}
	}
	return nil
}

// As pkg/injector/service does it, with the chart's defaults and
// sidecarDropALLCapabilities=true, which docs/kubernetes.md asks for.
func inject(pod *corev1.Pod) (*corev1.Pod, error) {
	const namespace, domain = "dapr-system", "cluster.local"
	sidecar := patcher.NewSidecarConfig(pod)
	sidecar.Namespace = pod.Namespace
	sidecar.MTLSEnabled = true
	sidecar.Identity = pod.Namespace + ":" + pod.Spec.ServiceAccountName
	sidecar.OperatorAddress = patcher.ServiceAPI.Address(namespace, domain)
	sidecar.SentryAddress = patcher.ServiceSentry.Address(namespace, domain)
	sidecar.PlacementAddress = patcher.ServicePlacement.Address(namespace, domain)
	sidecar.RunAsNonRoot = true
	sidecar.ReadOnlyRootFilesystem = true
	sidecar.SidecarDropALLCapabilities = true
	sidecar.ControlPlaneNamespace = namespace
	sidecar.ControlPlaneTrustDomain = domain
	sidecar.KubeClusterDomain = domain
	sidecar.SchedulerEnabled = true
	sidecar.SidecarImage = "daprd"
	sidecar.SetFromPodAnnotations()
	patch, err := sidecar.GetPatch()
	if err != nil {
		return nil, err
	}
	if len(patch) == 0 {
		return nil, errors.New("the pod gets no sidecar")
	}
	return patcher.PatchPod(pod, patch)
}
