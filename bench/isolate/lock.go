// SPDX-License-Identifier: Apache-2.0

package isolate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is what a second run gets.
var ErrLocked = errors.New("another benchmark runs")

// lock keeps two runs from measuring each other. The file stays: who removes it
// would take it from one that waits.
func lock(ctx context.Context, path string, wait bool) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = take(ctx, f, wait)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// take asks again and again: a flock that blocks could not be interrupted.
func take(ctx context.Context, f *os.File, wait bool) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if !wait {
			holder, _ := io.ReadAll(f)
			return fmt.Errorf("%w: pid %s", ErrLocked, strings.TrimSpace(string(holder)))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
