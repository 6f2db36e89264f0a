// What kubectl kustomize, helm, the Prometheus operator and docker compose make of files, by their own libraries.
//
//	deploy kustomize FOLDER
//	deploy template CHART VALUES RELEASE NAMESPACE
//	deploy lint CHART VALUES
//	deploy monitors <MANIFESTS
//	deploy json <MANIFESTS
//	deploy compose FILE
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/cli"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func main() {
	out, err := run(os.Args[1:])
	fmt.Print(out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) (string, error) {
	switch arguments[0] {
	case "kustomize":
		return kustomize(arguments[1])
	case "template":
		return template(arguments[1], arguments[2], arguments[3], arguments[4])
	case "lint":
		return lint(arguments[1], arguments[2])
	case "monitors":
		return monitors(os.Stdin)
	case "json":
		return objects(os.Stdin)
	case "compose":
		return compose(arguments[1])
	}
	return "", fmt.Errorf("unknown: %s", arguments[0])
}

func kustomize(folder string) (string, error) {
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return "", err
	}
	text, err := made.AsYaml()
	return string(text), err
}

// The manifests, and after a line of dashes and "# NOTES" the notes.
func template(path, values, release, namespace string) (string, error) {
	chart, err := loader.Load(path)
	if err != nil {
		return "", err
	}
	told, err := chartutil.ReadValuesFile(values)
	if err != nil {
		return "", err
	}
	install := action.NewInstall(&action.Configuration{})
	install.DryRun, install.ClientOnly, install.Replace = true, true, true
	install.ReleaseName, install.Namespace = release, namespace
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.33.0", Major: "1", Minor: "33"}
	made, err := install.Run(chart, told)
	if err != nil {
		return "", err
	}
	return made.Manifest + "\n---\n# NOTES\n" + made.Info.Notes, nil
}

func lint(path, values string) (string, error) {
	told, err := chartutil.ReadValuesFile(values)
	if err != nil {
		return "", err
	}
	linter := action.NewLint()
	linter.Strict, linter.Namespace = true, "monitoring"
	result := linter.Run([]string{path}, told)
	var out strings.Builder
	for _, message := range result.Messages {
		fmt.Fprintln(&out, message)
	}
	if len(result.Errors) > 0 {
		return out.String(), result.Errors[0]
	}
	return out.String(), nil
}

// Reads the operator's objects strictly: a field that it does not know is an error.
func monitors(in io.Reader) (string, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return "", err
	}
	count := 0
	for _, document := range bytes.Split(text, []byte("\n---")) {
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			return "", err
		}
		if head.APIVersion != "monitoring.coreos.com/v1" {
			continue
		}
		var object interface{}
		switch head.Kind {
		case "PodMonitor":
			object = &monitoring.PodMonitor{}
		case "ServiceMonitor":
			object = &monitoring.ServiceMonitor{}
		case "PrometheusRule":
			object = &monitoring.PrometheusRule{}
		default:
			return "", fmt.Errorf("unknown: %s", head.Kind)
		}
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			return "", fmt.Errorf("%s: %w", head.Kind, err)
		}
		count++
	}
	return fmt.Sprintf("%d objects\n", count), nil
}

// Every object as JSON, a line each.
func objects(in io.Reader) (string, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, document := range bytes.Split(text, []byte("\n---")) {
		object, err := yaml.YAMLToJSON(document)
		if err != nil {
			return "", err
		}
		if string(object) != "null" {
			fmt.Fprintln(&out, string(object))
		}
	}
	return out.String(), nil
}

// The images of the services, and every file and folder of this machine that they mount, a line each.
func compose(path string) (string, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithResolvedPaths(true), cli.WithWorkingDirectory(filepath.Dir(path)))
	if err != nil {
		return "", err
	}
	project, err := cli.ProjectFromOptions(options)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, service := range project.Services {
		fmt.Fprintln(&out, "image", service.Image)
		for _, volume := range service.Volumes {
			if volume.Type == "bind" {
				fmt.Fprintln(&out, "file", volume.Source)
			}
		}
		if service.Build != nil {
			fmt.Fprintln(&out, "file", filepath.Join(service.Build.Context, service.Build.Dockerfile))
		}
	}
	return out.String(), nil
}
