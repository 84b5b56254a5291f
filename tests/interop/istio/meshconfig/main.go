// Command meshconfig reads the mesh configuration out of an IstioOperator, as istiod's own type and with
// no field that this does not have: istioctl lets those pass.
package main

import (
	"fmt"
	"log"
	"os"

	"google.golang.org/protobuf/encoding/protojson"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"
)

type operator struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		MeshConfig map[string]any `json:"meshConfig"`
	} `json:"spec"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: meshconfig FILE")
	}
	config, err := read(os.Args[1])
	if err != nil {
		log.Fatalf("meshconfig: %s: %v", os.Args[1], err)
	}
	fmt.Println(len(config.GetExtensionProviders()), "extension providers")
}

func read(path string) (*meshconfig.MeshConfig, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var operator operator
	if err := yaml.UnmarshalStrict(text, &operator); err != nil {
		return nil, err
	}
	mesh, err := yaml.Marshal(operator.Spec.MeshConfig)
	if err != nil {
		return nil, err
	}
	json, err := yaml.YAMLToJSON(mesh)
	if err != nil {
		return nil, err
	}
	var config meshconfig.MeshConfig
	return &config, protojson.Unmarshal(json, &config)
}
