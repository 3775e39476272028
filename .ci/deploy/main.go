// Command deploy checks the examples of deploy against the types of those who read them:
// manifests as the API server of Kubernetes decodes them, strictly, and the compose file
// as docker compose loads it. Nothing is contacted.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: deploy DIRECTORY")
		os.Exit(2)
	}
	dir := os.Args[1]
	if err := errors.Join(manifests(filepath.Join(dir, "kubernetes")), compose(filepath.Join(dir, "compose", "compose.yaml"))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// manifests decodes all documents of a directory. Fields that no type has are errors.
func manifests(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no manifests in %s: %w", dir, errors.Join(err, os.ErrNotExist))
	}
	var errs []error
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for i, doc := range bytes.Split(b, []byte("\n---\n")) {
			kind, err := manifest(doc)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s, document %d: %w", file, i+1, err))
				continue
			}
			fmt.Printf("%s: %s\n", file, kind)
		}
	}
	return errors.Join(errs...)
}

func manifest(doc []byte) (kind string, err error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return "", err
	}
	kind = head.APIVersion + " " + head.Kind
	var into any
	switch kind {
	case "apps/v1 StatefulSet":
		into = &appsv1.StatefulSet{}
	case "v1 Service":
		into = &corev1.Service{}
	case "networking.k8s.io/v1 NetworkPolicy":
		into = &networkingv1.NetworkPolicy{}
	default:
		return kind, fmt.Errorf("no type for %q: add it to .ci/deploy", kind)
	}
	object, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return kind, err
	}
	unknown, err := json.UnmarshalStrict(object, into) // names of fields in their case, as the API server
	return kind, errors.Join(append(unknown, err)...)
}

// compose loads a compose file with its schema, references and interpolation.
func compose(file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithOsEnv)
	if err != nil {
		return err
	}
	p, err := options.LoadProject(context.Background())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	fmt.Printf("%s: %d services\n", file, len(p.Services))
	return nil
}
