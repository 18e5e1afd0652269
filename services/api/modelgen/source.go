package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const source = "github.com/aws/aws-sdk-go@v1.55.8"

// services are the models that make up the one endpoint.
var services = []struct{ name, path string }{
	{"ec2", "models/apis/ec2/2016-11-15/api-2.json"},
	{"sts", "models/apis/sts/2011-06-15/api-2.json"},
}

type api struct {
	Metadata struct {
		Protocol string `json:"protocol"`
	} `json:"metadata"`
	Operations map[string]operation `json:"operations"`
	Shapes     map[string]*shape    `json:"shapes"`
}

type operation struct {
	Input, Output *ref
}

type ref struct {
	Shape            string `json:"shape"`
	LocationName     string `json:"locationName"`
	QueryName        string `json:"queryName"`
	IdempotencyToken bool   `json:"idempotencyToken"`
	ResultWrapper    string `json:"resultWrapper"`
	Flattened        bool   `json:"flattened"`
}

type shape struct {
	Type      string          `json:"type"`
	Members   map[string]*ref `json:"members"`
	Member    *ref            `json:"member"`
	Required  []string        `json:"required"`
	Enum      []string        `json:"enum"`
	Flattened bool            `json:"flattened"`
}

// fetch returns the folder of the source module in the module cache.
func fetch() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", source)
	cmd.Dir = os.TempDir() // outside our module, whose go.mod stays as it is
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	var got struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(text, &got); jsonErr == nil && got.Dir != "" {
		return got.Dir, nil
	}
	return "", fmt.Errorf("fetch %s: %v %s%s", source, err, got.Error, stderr.String())
}

func load(dir, path string) (*api, error) {
	text, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		return nil, err
	}
	a := new(api)
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}
