// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fairway-project/fairway/userspace/store"
)

// Keeper keeps the engine's file as it was before the first setup. No content stands for a
// file that wasn't there.
type Keeper interface {
	// Kept returns the file; kept is false where none is.
	Kept(context.Context) (content []byte, kept bool, err error)
	// Keep keeps the file, unless one is kept: what a second setup finds is Fairway's.
	Keep(ctx context.Context, content []byte) error
	// Forget ends that. Forgetting what isn't kept is not an error.
	Forget(context.Context) error
}

// formerName is the file in the daemon's root that earlier versions kept it in. It is read
// while the store has none, and is what a purge leaves.
const formerName = "docker-daemon.json.before"

// record is the ID of what the store has.
const record = "daemon.json"

// Stored is a Keeper with an open store, of the daemon whose root is Root.
type Stored struct {
	Store *store.Store
	Root  string
}

func (s Stored) former() string { return filepath.Join(s.Root, formerName) }

// Kept implements Keeper.
func (s Stored) Kept(context.Context) (content []byte, kept bool, err error) {
	all, err := store.Records[[]byte](s.Store, store.DockerSetup)
	if err != nil {
		return nil, false, err
	}
	if content, kept := all[record]; kept {
		return *content, true, nil
	}
	return readKept(s.former())
}

func readKept(path string) (content []byte, kept bool, err error) {
	content, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return content, err == nil, err
}

// Keep implements Keeper. What an earlier version kept moves into the store, which has it
// before its file goes.
func (s Stored) Keep(ctx context.Context, content []byte) error {
	before, kept, err := s.Kept(ctx)
	if err != nil {
		return err
	}
	if kept {
		content = before
	}
	if err := s.Store.Update(func(tx *store.Tx) error { return tx.Put(store.DockerSetup, record, content) }); err != nil {
		return err
	}
	return removeFile(s.former())
}

// Forget implements Keeper.
func (s Stored) Forget(context.Context) error {
	if err := removeFile(s.former()); err != nil {
		return err
	}
	return s.Store.Update(func(tx *store.Tx) error { return tx.Delete(store.DockerSetup, record) })
}

// Migrate moves what an earlier version kept into the store.
func (s Stored) Migrate(ctx context.Context) error {
	if _, kept, err := readKept(s.former()); !kept {
		return err
	}
	return s.Keep(ctx, nil)
}

// PutAside writes what is kept to a file, for an undo after the store was purged.
func (s Stored) PutAside(ctx context.Context) error {
	content, kept, err := s.Kept(ctx)
	if !kept {
		return err
	}
	return replace(s.former(), content)
}

// AtRest is a Keeper with the store in Root of a daemon that doesn't run.
type AtRest struct{ Root string }

// Kept implements Keeper. It makes no store.
func (r AtRest) Kept(ctx context.Context) (content []byte, kept bool, err error) {
	if _, err := os.Lstat(filepath.Join(r.Root, store.FileName)); errors.Is(err, fs.ErrNotExist) {
		return readKept(filepath.Join(r.Root, formerName))
	}
	err = r.open(func(s Stored) (err error) {
		content, kept, err = s.Kept(ctx)
		return err
	})
	return content, kept, err
}

// Keep implements Keeper.
func (r AtRest) Keep(ctx context.Context, content []byte) error {
	if err := os.MkdirAll(r.Root, 0o711); err != nil {
		return err
	}
	return r.open(func(s Stored) error { return s.Keep(ctx, content) })
}

// Forget implements Keeper.
func (r AtRest) Forget(ctx context.Context) error {
	if _, err := os.Lstat(filepath.Join(r.Root, store.FileName)); errors.Is(err, fs.ErrNotExist) {
		return removeFile(filepath.Join(r.Root, formerName))
	}
	return r.open(func(s Stored) error { return s.Forget(ctx) })
}

func (r AtRest) open(f func(Stored) error) error {
	s, err := store.Open(filepath.Join(r.Root, store.FileName))
	if err != nil {
		return err
	}
	return errors.Join(f(Stored{s, r.Root}), s.Close())
}

// removeFile removes a file, which need not exist, for good.
func removeFile(path string) error {
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
