// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// event is what is needed of a line of go test -json, see go doc test2json.
type event struct {
	Action, Package, Test string
}

// name identifies a test; a package stands for itself with an empty test.
type name struct{ pkg, test string }

// counter remembers the last action of each test and package.
type counter struct {
	last map[name]string
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
		c.last = map[name]string{}
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
		if e.Package != "" {
			c.last[name{e.Package, e.Test}] = e.Action
		}
	}
}

func (c *counter) result() result {
	var r result
	blamed := map[string]bool{}
	for n, action := range c.last {
		if n.test == "" {
			continue
		}
		switch action {
		case "pass":
			r.passed++
		case "skip":
			r.skipped++
		default:
			r.failed++
			blamed[n.pkg] = true
		}
	}
	for n, action := range c.last {
		if n.test == "" && action != "pass" && action != "skip" && !blamed[n.pkg] {
			r.failed++
		}
	}
	return r
}
