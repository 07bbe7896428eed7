// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// envFigures is the file that TestFigures writes its table to. Without it, it only
// shows that measuring works.
const envFigures = "FAIRWAY_FIGURES"

// sizes are how much is measured.
type sizes struct {
	// ports are published by containers that are started repeat times.
	ports  []int
	repeat int
	// proxied ports are held by two proxies each.
	proxied int
	// wide is the number of ports in a range.
	wide int
	// crowd containers are started at once on networks.
	crowd, networks int
	// busy containers have traffic while the engine restarts.
	busy int
}

var (
	wholeSize = sizes{ports: []int{0, 1, 10, 100, 206}, repeat: 5, proxied: 102, wide: 1000, crowd: 200, networks: 20, busy: 100}
	smokeSize = sizes{ports: []int{1}, repeat: 1, proxied: 2, wide: 3, crowd: 2, networks: 2, busy: 2}
)

// figures is a table: a row for what was measured, a column for each engine and way.
type figures struct {
	mu      sync.Mutex
	rows    []string
	columns []string
	cells   map[[2]string]string
}

// note fills a cell.
func (f *figures) note(row, column, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.rows, row) {
		f.rows = append(f.rows, row)
	}
	if !slices.Contains(f.columns, column) {
		f.columns = append(f.columns, column)
	}
	f.cells[[2]string{row, column}] = value
}

// markdown is the table as text.
func (f *figures) markdown() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.columns)
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---%s|\n", strings.Join(f.columns, " | "), strings.Repeat("|---", len(f.columns)))
	for _, row := range f.rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, column := range f.columns {
			fmt.Fprintf(&b, " %s |", f.cells[[2]string{row, column}])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestFigures measures what containers cost with Fairway and with the engine's own
// rules. make bench-docker runs it at full size and shows the table.
func TestFigures(t *testing.T) {
	t.Parallel()
	f := &figures{cells: make(map[[2]string]string)}
	size, path := smokeSize, os.Getenv(envFigures)
	if path != "" {
		size = wholeSize
	}
	t.Cleanup(func() {
		t.Log("\n" + f.markdown())
		if path == "" || t.Failed() {
			return
		}
		if err := os.WriteFile(path, []byte(f.markdown()), 0o644); err != nil {
			t.Error(err)
		}
	})
	t.Run("fairway", func(t *testing.T) {
		onEngines(t, func(t *testing.T, d *engine) {
			d.Daemon.Start(t)
			d.figures(f, "Docker "+d.version+", Fairway", size)
		}, harness.AllowPrivate())
	})
	if path != "" {
		t.Run("iptables", func(t *testing.T) { f.ofOwnRules(t, size) })
	}
}

// ofOwnRules measures engines with their own rules. That this works is in the long tests.
func (f *figures) ofOwnRules(t *testing.T, size sizes) {
	onEngines(t, func(t *testing.T, d *engine) {
		d.args, d.own = nil, true
		d.figures(f, "Docker "+d.version+", iptables", size)
		d.end(syscall.SIGTERM)
		d.Host.Must(t, "nft", "flush", "ruleset")
	}, harness.AllowPrivate())
}

// figures measures all there is to measure of one engine.
func (d *engine) figures(f *figures, column string, size sizes) {
	d.t.Helper()
	d.limit = 15 * time.Minute
	d.args = append(d.args, "--live-restore")
	d.start()
	d.importImage()
	for _, n := range size.ports {
		start, remove := d.lifeTimes(size.repeat, published(30000, n)...)
		f.note(fmt.Sprintf("start with %d published ports, ms", n), column, millis(start))
		f.note(fmt.Sprintf("removal with %d published ports, ms", n), column, millis(remove))
	}
	start, remove := d.lifeTimes(1, "-p", fmt.Sprintf("30000-%d:30000-%d", 30000+size.wide-1, 30000+size.wide-1))
	f.note(fmt.Sprintf("start with a range of %d ports, ms", size.wide), column, millis(start))
	f.note(fmt.Sprintf("removal with a range of %d ports, ms", size.wide), column, millis(remove))
	count, kib := d.proxyMemory(published(30000, size.proxied)...)
	f.note(fmt.Sprintf("memory of %d proxies (PSS), MB", 2*size.proxied), column, fmt.Sprintf("%.1f (%d processes)", float64(kib)/1024, count))
	started, reached := d.crowd(size.crowd, size.networks, true)
	f.note(fmt.Sprintf("%d containers on %d networks at once: all started, s", size.crowd, size.networks), column, fmt.Sprintf("%.1f", started.Seconds()))
	f.note(fmt.Sprintf("%d containers on %d networks at once: all reached, s", size.crowd, size.networks), column, fmt.Sprintf("%.1f", reached.Seconds()))
	started, _ = d.crowd(size.crowd, size.networks, false)
	f.note(fmt.Sprintf("%d containers on %d networks at once, without ports: all started, s", size.crowd, size.networks), column, fmt.Sprintf("%.1f", started.Seconds()))
	lost, sent := d.restartUnderTraffic(size.busy)
	f.note(fmt.Sprintf("engine restarted with %d containers under traffic: packets lost", size.busy), column, fmt.Sprintf("%d of %d", lost, sent))
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
