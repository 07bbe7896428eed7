// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/fairway-project/fairway/bench/facts"
	"github.com/fairway-project/fairway/bench/result"
)

// Report is a run and the machine that it was on.
type Report struct {
	Run     *result.Run
	Machine facts.Machine
	// AllowBusy is set if slices count in which others used the machine.
	AllowBusy bool
}

// Files writes raw.txt, summary.json, report.md and its plots into dir.
func Files(dir string, r Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	plots := plots(r.Run)
	errs := []error{
		file(dir, "raw.txt", func(w io.Writer) error { return GoBench(w, r) }),
		file(dir, "summary.json", func(w io.Writer) error { return JSON(w, r) }),
		file(dir, "report.md", func(w io.Writer) error { return Markdown(w, r, plots) }),
	}
	for _, p := range plots {
		errs = append(errs, file(dir, p.file, p.write))
	}
	return errors.Join(errs...)
}

func file(dir, name string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644)
}
