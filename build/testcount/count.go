// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// event is what is needed of a line of go test -json, see go doc test2json.
type event struct {
	Action, Package, Test string
}

// name identifies a test; a package stands for itself with an empty test.
type name struct{ pkg, test string }

// counter remembers the last action of each test and package, and what failed
// before it was run again.
type counter struct {
	last map[name]string
	// failedBefore holds tests that failed and passed later.
	failedBefore map[name]bool
	// broken holds packages that failed without a failed test: running tests of them
	// again proves nothing.
	broken map[string]bool
}

type result struct {
	passed, failed, skipped int
}

// String is the plain line.
func (r result) String() string {
	line := fmt.Sprintf("%d passed, %d failed", r.passed, r.failed)
	if r.skipped > 0 {
		line += fmt.Sprintf(", %d skipped", r.skipped)
	}
	return line
}

func (c *counter) readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := c.read(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// read takes lines of JSON; other lines are what the go command itself said.
func (c *counter) read(r io.Reader) error {
	if c.last == nil {
		c.last, c.failedBefore, c.broken = map[name]string{}, map[name]bool{}, map[string]bool{}
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			c.add(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *counter) add(e event) {
	switch e.Action {
	case "start", "run", "pass", "fail", "skip":
	default:
		return
	}
	if e.Package == "" {
		return
	}
	n := name{e.Package, e.Test}
	if e.Test == "" && e.Action == "fail" && !c.blamed()[e.Package] {
		c.broken[e.Package] = true
	}
	if e.Action != "fail" && c.last[n] == "fail" {
		c.failedBefore[n] = true
	}
	c.last[n] = e.Action
}

// blamed returns the packages with a test that failed or never ended.
func (c *counter) blamed() map[string]bool {
	blamed := map[string]bool{}
	for n, action := range c.last {
		if n.test != "" && action != "pass" && action != "skip" {
			blamed[n.pkg] = true
		}
	}
	return blamed
}

func (c *counter) result() result {
	var r result
	blamed := c.blamed()
	for n, action := range c.last {
		ended := action == "pass" || action == "skip"
		switch {
		case n.test == "" && (c.broken[n.pkg] || !ended) && !blamed[n.pkg]:
			r.failed++
		case n.test == "":
		case action == "pass":
			r.passed++
		case action == "skip":
			r.skipped++
		default:
			r.failed++
		}
	}
	return r
}

// flaky returns the tests that failed and passed when they were run again, sorted.
func (c *counter) flaky() []string {
	var names []string
	for n := range c.failedBefore {
		if n.test != "" && c.last[n] == "pass" {
			names = append(names, n.pkg+" "+n.test)
		}
	}
	slices.Sort(names)
	return names
}
