//go:build tools

// Package tools names the programs that are built as they are.
package tools

import _ "sigs.k8s.io/kustomize/kustomize/v5"
