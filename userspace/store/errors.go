// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// Errors to be tested with errors.Is; what is returned names the file.
var (
	// ErrLocked is a file that another process has open.
	ErrLocked = errors.New("in use by another daemon")
	// ErrEmpty is a file of no bytes.
	ErrEmpty = errors.New("empty")
	// ErrCorrupt is a file that is truncated or damaged.
	ErrCorrupt = errors.New("corrupt")
	// ErrForeign is a file that holds something else than Fairway's state.
	ErrForeign = errors.New("not a state file of fairway")
	// ErrNewerVersion is a file that a later version of Fairway wrote.
	ErrNewerVersion = errors.New("from a newer version of fairway")
	// ErrFull is a file system without room.
	ErrFull = errors.New("no space left on the file system")
	// ErrReadOnly is a file system that is mounted read-only.
	ErrReadOnly = errors.New("on a read-only file system")
	// ErrPermission is a file that the daemon may not read and write.
	ErrPermission = errors.New("permission denied")
)

// wayOut is what an operator can do about a file that can't be read.
const wayOut = "put a copy back; running traffic goes on. To start without networks, move the file away and run fairway uninstall"

// explain names the file and puts an error of the system or of bbolt into words.
func explain(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolterrors.ErrTimeout), errors.Is(err, ErrLocked):
		return fmt.Errorf("state file %s is %w", path, ErrLocked)
	case isFull(err):
		return fmt.Errorf("state file %s: %w: make room and try again", path, ErrFull)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("state file %s is %w", path, ErrReadOnly)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("state file %s: %w: want to read and write it", path, ErrPermission)
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrEmpty), errors.Is(err, ErrForeign):
		return fmt.Errorf("state file %s is %w (%s)", path, err, wayOut)
	case errors.Is(err, ErrNewerVersion):
		return fmt.Errorf("state file %s is %w", path, err)
	}
	return fmt.Errorf("state file %s: %w", path, err)
}

// isFull looks at the text, too: bbolt hides the cause when growing the file fails.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) ||
		strings.Contains(err.Error(), unix.ENOSPC.Error()) || strings.Contains(err.Error(), unix.EDQUOT.Error())
}
