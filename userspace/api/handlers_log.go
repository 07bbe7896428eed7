// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// logName is the file in a sandbox's directory that has the output of its process.
const logName = "log"

// allLines is the tail that leaves nothing out.
const allLines = "all"

// ParseTail reads a number of lines; -1 is all, which "all" and "" are too. Errors are
// ErrInvalid.
func ParseTail(s string) (int, error) {
	if s == "" || s == allLines {
		return -1, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, request.Errorf(request.ErrInvalid, "tail %q: want a number of lines, or all", s)
	}
	return int(n), nil
}

// logs streams a sandbox's log as it is, with follow until its process ends.
func (h *handlers) logs(w http.ResponseWriter, r *http.Request) error {
	follow, err := boolQuery(r, "follow")
	if err != nil {
		return err
	}
	tail, err := ParseTail(r.URL.Query().Get("tail"))
	if err != nil {
		return err
	}
	v, err := h.backend.Sandbox(r.Context(), r.PathValue("sandbox"))
	if err != nil {
		return err
	}
	f, err := openLog(v, tail)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	show := func() error {
		if err := copyLog(w, f); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	}
	if !follow || v.State.Status != model.StatusRunning {
		err = show()
	} else {
		err = h.follow(w, r, v, f, show)
	}
	if err != nil {
		h.log.Debug("log of a sandbox", "sandbox", v.Name, "err", err)
		// The answer has begun: only its breaking off tells that something is missing.
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (h *handlers) follow(w http.ResponseWriter, r *http.Request, v request.SandboxView, f *os.File, show func() error) error {
	ctx, done := h.patient(r)
	// Nor does the end of the server wait for a client that reads slowly or not at all.
	unblock := context.AfterFunc(h.ending, func() {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
	})
	defer unblock()
	ended := make(chan struct{})
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		// However it ended, and if nobody knows: nothing more is waited for.
		_, _ = h.backend.Wait(waiting, v.ID)
		if waiting.Err() == nil {
			close(ended)
		}
	}()
	return done(followLog(ctx, f, ended, show))
}

// openLog opens the log where its last lines begin.
func openLog(v request.SandboxView, tail int) (*os.File, error) {
	if v.Adopted {
		return nil, request.Errorf(request.ErrNotFound, "sandbox %s has no log: its processes are another program's", v.Name)
	}
	f, err := os.Open(filepath.Join(v.Dir, logName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, request.Errorf(request.ErrNotFound, "sandbox %s has no log: it was started in the foreground, where its output went; run -d keeps it", v.Name)
	}
	if err != nil || tail < 0 {
		return f, err
	}
	if err := seekTail(f, tail); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func seekTail(f *os.File, lines int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	offset, err := tailOffset(f, info.Size(), lines)
	if err != nil {
		return err
	}
	_, err = f.Seek(offset, io.SeekStart)
	return err
}
