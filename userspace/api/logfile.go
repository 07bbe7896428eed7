// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/fsnotify/fsnotify"
)

// logBlock is how much of a log is read at a time to find its last lines.
const logBlock = 32 << 10

// tailOffset is where the last lines of a file of this size begin. A last line that
// has no end yet is one too.
func tailOffset(f io.ReaderAt, size int64, lines int) (int64, error) {
	if lines == 0 {
		return size, nil
	}
	block := make([]byte, logBlock)
	// The end of the last line begins no other one.
	for end := size - 1; end > 0; {
		begin := max(0, end-logBlock)
		part := block[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil && err != io.EOF {
			return 0, err
		}
		for {
			i := bytes.LastIndexByte(part, '\n')
			if i < 0 {
				break
			}
			if lines--; lines == 0 {
				return begin + int64(i) + 1, nil
			}
			part = part[:i]
		}
		end = begin
	}
	return 0, nil
}

// copyLog writes what is new in a log, up to where it ends now: the end of one that
// grows all the time is never reached. One that somebody made shorter is read from its
// beginning again.
func copyLog(w io.Writer, f *os.File) error {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < at {
		if at, err = f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	_, err = io.Copy(w, io.LimitReader(f, info.Size()-at))
	return err
}

// followLog calls show after each change of the file until ended is closed, and once
// more then.
func followLog(ctx context.Context, f *os.File, ended <-chan struct{}, show func() error) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.Name(), err)
	}
	defer watcher.Close()
	// By descriptor: the path may be gone already, with a sandbox that ended.
	if err := watcher.Add(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil {
		return fmt.Errorf("watch %s: %w", f.Name(), err)
	}
	for {
		// Also for what came before the watch.
		if err := show(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ended:
			return show()
		case <-watcher.Events:
		case err := <-watcher.Errors:
			return fmt.Errorf("watch %s: %w", f.Name(), err)
		}
	}
}
