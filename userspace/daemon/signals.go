// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// signals are those that operators and log daemons send, and that would end the
// program: for good under systemd, which takes SIGHUP and SIGPIPE for a clean end.
type signals struct{ caught, pipe chan os.Signal }

// catchSignals begins before anything else does. What comes before the daemon is ready
// is dealt with then. Caught signals aren't passed on to children, ignored ones would
// be (signal(7)).
func catchSignals() signals {
	s := signals{caught: make(chan os.Signal, 8), pipe: make(chan os.Signal, 1)}
	signal.Notify(s.caught, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	// A log that is gone is no reason to end, and can't be told.
	signal.Notify(s.pipe, syscall.SIGPIPE)
	return s
}

func (s signals) stop() {
	signal.Stop(s.caught)
	signal.Stop(s.pipe)
}

// react does what a signal asks for.
func (d *daemon) react(sig os.Signal) {
	switch sig {
	case syscall.SIGHUP:
		d.reload()
	case syscall.SIGUSR1:
		d.log.Info("signal", "signal", "SIGUSR1", "goroutines", string(stacks()))
	default:
		d.log.Info("signal means nothing here; SIGHUP reads the settings again, SIGUSR1 logs what goroutines do, SIGTERM ends the daemon", "signal", "SIGUSR2")
	}
}

// stacks are those of all goroutines.
func stacks() []byte {
	for size := 1 << 16; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size {
			return b[:n]
		}
	}
}
