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
// root. Migrated is its name once a start with what it has succeeded: for whoever goes
// back to one of them.
const (
	FormerFile = "docker-plugin.json"
	Migrated   = FormerFile + ".migrated"
)

// formerVersion is the format of that file.
const formerVersion = 1

// migrate makes the store have what is in the file of an earlier version, and nothing
// else, if there is one in dir. The file stays until SetAside: while a start may still be
// refused, the earlier version may go on with it.
func migrate(s *store.Store, dir string) error {
	former, err := readFormer(filepath.Join(dir, FormerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	present, err := stored(s)
	if err != nil {
		return err
	}
	return present.save(s, former)
}

// SetAside renames the file of an earlier version in dir, if there is one, so that what
// the store has counts from now on. It is to be called when the start can't be refused
// any more, and before the driver answers Docker.
func SetAside(dir string) error {
	err := os.Rename(filepath.Join(dir, FormerFile), filepath.Join(dir, Migrated))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("docker plugin: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("docker plugin: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
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
