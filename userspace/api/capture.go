// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/fairway-project/fairway/userspace/request"
)

// maxOutput is how much of each stream Executed keeps, in bytes.
const maxOutput = 1 << 20

// Executed is the answer to an exec that isn't attached.
type Executed struct {
	Code int `json:"code"`
	// Stdout and Stderr are the first MiB of each; what isn't UTF-8 is replaced.
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

// capture runs a process with an empty standard input and keeps its output.
// Output that the process's children write after its end is lost.
func capture(ctx context.Context, start startFunc) (Executed, error) {
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return Executed{}, err
	}
	stdout, outEnd, err := startReader()
	if err != nil {
		return Executed{}, errors.Join(err, stdin.Close())
	}
	stderr, errEnd, err := startReader()
	if err != nil {
		stdout.stop()
		return Executed{}, errors.Join(err, stdin.Close(), outEnd.Close())
	}
	stdio := &request.Stdio{Stdin: stdin, Stdout: outEnd, Stderr: errEnd}
	_, proc, err := start(ctx, stdio)
	stdio.Close()
	if err != nil {
		stdout.stop()
		stderr.stop()
		return Executed{}, err
	}
	code, err := proc.Wait(ctx)
	return Executed{Code: code, Stdout: stdout.stop(), Stderr: stderr.stop()}, err
}

// pipeReader collects what is written into a pipe.
type pipeReader struct {
	pipe *os.File
	buf  bytes.Buffer
	done chan struct{}
}

// startReader returns the reader and the end of the pipe to write into, which
// the caller closes.
func startReader() (*pipeReader, *os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p := &pipeReader{pipe: read, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		// The rest is read as well: a full pipe would stop the process.
		_, _ = io.CopyN(&p.buf, read, maxOutput)
		_, _ = io.Copy(io.Discard, read)
	}()
	return p, write, nil
}

// drainTime is what a pipe that a surviving child still holds open is given.
const drainTime = 100 * time.Millisecond

// stop returns what was read.
func (p *pipeReader) stop() string {
	_ = p.pipe.SetReadDeadline(time.Now().Add(drainTime))
	<-p.done
	p.pipe.Close()
	return p.buf.String()
}
