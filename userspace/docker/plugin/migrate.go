// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fairway-project/fairway/userspace/store"
)

// FormerFile is where earlier versions kept what is in the store now, in the daemon's
// root. Migrated is its name once the store has it: for whoever goes back to one of them.
const (
	FormerFile = "docker-plugin.json"
	Migrated   = FormerFile + ".migrated"
)

// formerVersion is the format of that file.
const formerVersion = 1

// migrate takes the file of an earlier version into the store, if there is one in dir. A
// crash before the end is followed by another migration of the same.
func migrate(s *store.Store, dir string) error {
	path := filepath.Join(dir, FormerFile)
	former, err := readFormer(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := (records{}).save(s, former); err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(dir, Migrated)); err != nil {
		return fmt.Errorf("docker plugin: %w", err)
	}
	return nil
}

func readFormer(path string) (records, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return records{}, fmt.Errorf("docker plugin: %w", err)
	}
	var f struct {
		Version   int                  `json:"version"`
		Networks  map[string]*network  `json:"networks"`
		Endpoints map[string]*endpoint `json:"endpoints"`
	}
	fail := func(err error) (records, error) {
		return records{}, fmt.Errorf("docker plugin: state %s: %w", path, err)
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return fail(err)
	}
	if f.Version != formerVersion {
		return fail(fmt.Errorf("version %d, want %d", f.Version, formerVersion))
	}
	if f.Networks == nil || f.Endpoints == nil {
		return fail(errors.New("damaged"))
	}
	r := records{f.Networks, f.Endpoints}
	if err := r.check(); err != nil {
		return fail(err)
	}
	return r, nil
}
