// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fairway-project/fairway/userspace/model"
)

// FileName is the name of the driver's file in the daemon's root.
const FileName = "docker-plugin.json"

// fileVersion is the format of the file that this package writes.
const fileVersion = 1

// file is what the driver keeps on disk.
type file struct {
	Version   int                  `json:"version"`
	Networks  map[string]*network  `json:"networks"`
	Endpoints map[string]*endpoint `json:"endpoints"`
}

// network is a network of Docker's that this driver carries.
type network struct {
	model.Network
}

// endpoint is an endpoint of such a network.
type endpoint struct {
	model.Endpoint
	// SandboxKey is the path of the container's namespace, as Docker names it;
	// empty before Join and after Leave.
	SandboxKey string `json:"sandboxKey,omitempty"`
	// External says that the endpoint is the container's gateway: its ports are
	// published. Specs are the ports that Docker asked for.
	External    bool                  `json:"external,omitempty"`
	Specs       []model.PortSpec      `json:"specs,omitempty"`
	NoProxy6To4 bool                  `json:"noProxy6To4,omitempty"`
	Published   []model.PublishedPort `json:"published,omitempty"`
}

// Networks counts the networks that a driver in dir has.
func Networks(dir string) (int, error) {
	f, err := load(filepath.Join(dir, FileName))
	return len(f.Networks), err
}

// load reads the file at path; none is an empty one.
func load(path string) (file, error) {
	f := file{Version: fileVersion, Networks: make(map[string]*network), Endpoints: make(map[string]*endpoint)}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("docker plugin: %w", err)
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return f, fmt.Errorf("docker plugin: state %s: %w", path, err)
	}
	if f.Version != fileVersion {
		return f, fmt.Errorf("docker plugin: state %s: version %d, want %d", path, f.Version, fileVersion)
	}
	if f.Networks == nil || f.Endpoints == nil {
		return f, fmt.Errorf("docker plugin: state %s: damaged", path)
	}
	return f, f.check(path)
}

// check refuses a file whose parts don't fit each other.
func (f *file) check(path string) error {
	for id, n := range f.Networks {
		if n == nil || n.ID != id {
			return fmt.Errorf("docker plugin: state %s: network %s: damaged", path, id)
		}
	}
	for id, e := range f.Endpoints {
		if e == nil || e.ID != id || f.Networks[e.NetworkID] == nil {
			return fmt.Errorf("docker plugin: state %s: endpoint %s: damaged", path, id)
		}
	}
	return nil
}

// save replaces the file at path; it is on disk when save returns.
func (f *file) save(path string) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("docker plugin: state: %w", err)
	}
	next := path + ".new"
	if err := writeSynced(next, raw); err != nil {
		return fmt.Errorf("docker plugin: state: %w", errors.Join(err, os.Remove(next)))
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("docker plugin: state: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("docker plugin: state: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
