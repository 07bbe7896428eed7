// SPDX-License-Identifier: Apache-2.0

package load

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/fairway-project/fairway/bench/child"
)

// Role is what a side is started as; main and TestMain give it to child.Init.
var Role = child.Role{Name: "bench-load-side", Run: talk}

// Init is child.Init for programs whose only role this is.
func Init(args []string) { child.Init(args, Role) }

// talk serves requests until in ends, which also ends what is under way.
func talk(in io.Reader, out io.Writer) error {
	w := &worker{out: json.NewEncoder(out)}
	requests := make(chan request)
	go func() {
		// Locked: what a job does with its thread's namespace stays with it.
		runtime.LockOSThread()
		for r := range requests {
			w.handle(r)
		}
	}()
	return child.Requests(in, func(r request) { requests <- r })
}

// worker is the state of a side.
type worker struct {
	out      *json.Encoder
	services []*service
	tuples   tuples
}

func (w *worker) handle(r request) {
	var a response
	var err error
	switch {
	case r.Serve != nil:
		a.Addr, err = w.serve(r.Serve.withDefaults())
	case r.Run != nil:
		a.Result, err = w.run(r.Run.withDefaults())
	case r.Probe != nil:
		a.Answer, err = w.probe(*r.Probe)
	case r.Counts:
		a.Counts = w.counts()
	default:
		err = fmt.Errorf("empty request")
	}
	if err != nil {
		a = response{Error: err.Error()}
	}
	w.answer(a)
}

func (w *worker) answer(a response) {
	if err := w.out.Encode(a); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (w *worker) run(j Job) (*wireResult, error) {
	// What the last job left goes now and not while this one measures.
	runtime.GC()
	if err := j.check(); err != nil {
		return nil, err
	}
	before, err := retransmits()
	if err != nil {
		return nil, err
	}
	var r Result
	switch {
	case j.Kind == Stream:
		r, err = stream(j)
	case j.Flows == 1 && j.Rate == 0:
		r, err = alone(j, &w.tuples)
	default:
		r, err = crowd(j, &w.tuples)
	}
	if err != nil {
		return nil, err
	}
	after, err := retransmits()
	if err != nil {
		return nil, err
	}
	r.Retransmits = after - before
	return r.pack()
}
