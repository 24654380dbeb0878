// restricted: what Kubernetes' own pod security admission has against pods.
//
// A list of pods comes in on standard input as JSON; a list of reasons goes out
// for each, empty for one that a namespace of the kind "restricted" admits.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "restricted:", err)
		os.Exit(1)
	}
}

func run() error {
	var pods []corev1.Pod
	if err := json.NewDecoder(os.Stdin).Decode(&pods); err != nil {
		return err
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		return err
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	answers := make([][]string, 0, len(pods))
	for i := range pods {
		reasons := []string{}
		for _, check := range evaluator.EvaluatePod(level, &pods[i].ObjectMeta, &pods[i].Spec) {
			if !check.Allowed {
				reasons = append(reasons, check.ForbiddenReason+": "+check.ForbiddenDetail)
			}
		}
		answers = append(answers, reasons)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}
