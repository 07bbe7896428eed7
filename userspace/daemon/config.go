// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// Config of a daemon. The yaml names are the keys of the configuration file.
type Config struct {
	Datapath datapath.Mode `yaml:"datapath"`
	// Root holds the state, RunDir the socket, the lock and the namespaces,
	// BPFFS the pinned programs and maps.
	Root   string `yaml:"root"`
	RunDir string `yaml:"run_dir"`
	BPFFS  string `yaml:"bpffs"`
	// Uplinks are the devices that lead outside; empty for every one that is
	// nobody else's.
	Uplinks []string `yaml:"uplinks"`
	// Metrics is the address of the Prometheus endpoint; empty for none.
	Metrics string `yaml:"metrics"`
	// Debug logs more.
	Debug bool `yaml:"debug"`
}

// Default is the configuration of a daemon that is told nothing.
func Default() Config {
	return Config{
		Datapath: datapath.EBPF,
		Root:     "/var/lib/fairway",
		RunDir:   "/run/fairway",
		BPFFS:    "/sys/fs/bpf/fairway",
	}
}

// Load returns the configuration from the defaults, the file at path unless that
// is empty, and the environment, the later winning over the earlier. Command
// line flags are the caller's to apply on top, followed by Validate.
func Load(path string, getenv func(string) string) (Config, error) {
	c := Default()
	if path != "" {
		if err := c.loadFile(path); err != nil {
			return c, err
		}
	}
	return c, c.loadEnv(getenv)
}

// loadFile reads a YAML file; unknown keys are errors that name the line.
func (c *Config) loadFile(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(content))
	dec.KnownFields(true)
	err = dec.Decode(c)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("config %s: %s", path, yamlText(err))
	}
	if err := dec.Decode(new(Config)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("config %s: more than one YAML document", path)
	}
	return nil
}

// yamlText makes one line of yaml's error and calls keys keys.
func yamlText(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	text = strings.ReplaceAll(text, "\n  ", "; ")
	text = strings.ReplaceAll(text, " not found in type daemon.Config", " is not a known key")
	return strings.ReplaceAll(text, ": field ", ": ")
}

func (c *Config) loadEnv(getenv func(string) string) error {
	for name, field := range map[string]*string{
		"FAIRWAY_ROOT": &c.Root, "FAIRWAY_RUN_DIR": &c.RunDir,
		"FAIRWAY_BPFFS": &c.BPFFS, "FAIRWAY_METRICS": &c.Metrics,
	} {
		if v := getenv(name); v != "" {
			*field = v
		}
	}
	if v := getenv("FAIRWAY_DATAPATH"); v != "" {
		c.Datapath = datapath.Mode(v)
	}
	if v := getenv("FAIRWAY_UPLINKS"); v != "" {
		c.Uplinks = strings.Split(v, ",")
	}
	if v := getenv("FAIRWAY_DEBUG"); v != "" {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("environment FAIRWAY_DEBUG=%s: want true or false", v)
		}
		c.Debug = on
	}
	return nil
}

// Validate checks the values and makes the directories absolute.
func (c *Config) Validate() error {
	if c.Datapath != datapath.EBPF && c.Datapath != datapath.IPTables {
		return fmt.Errorf("datapath %q: want %s or %s", c.Datapath, datapath.EBPF, datapath.IPTables)
	}
	for name, dir := range map[string]*string{"root": &c.Root, "run_dir": &c.RunDir, "bpffs": &c.BPFFS} {
		if *dir == "" {
			return fmt.Errorf("%s: is empty, want a directory", name)
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return fmt.Errorf("%s %s: %w", name, *dir, err)
		}
		*dir = abs
	}
	for _, u := range c.Uplinks {
		if u == "" || len(u) > 15 || strings.ContainsAny(u, "/ \t") {
			return fmt.Errorf("uplink %q: want the name of a network device", u)
		}
	}
	return nil
}
