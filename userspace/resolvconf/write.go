// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

const (
	filePerm   = 0o644
	hashSuffix = ".hash"
)

// Write gives the file at path this content, creating it with mode 0644 where
// it is missing. The inode stays the same, so this can't be atomic: who reads at
// that very moment may find the end of a line missing. But the file is overwritten
// first and cut afterwards, with blank lines in between: it is never empty, and
// what both contents begin with, localhost for example, is always there.
func Write(path string, content []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	was, err := f.Stat()
	if err != nil {
		return err
	}
	padded := content
	if rest := was.Size() - int64(len(content)); rest > 0 {
		padded = append(bytes.Clone(content), bytes.Repeat([]byte("\n"), int(rest))...)
	}
	if _, err := f.WriteAt(padded, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(content)))
}

// WriteUnlessEdited is Write for a file that its user may edit: it leaves one
// alone whose content isn't what the last call wrote, and reports whether it
// wrote. A hash of that content is kept beside the file, in path + ".hash".
func WriteUnlessEdited(path string, content []byte) (bool, error) {
	edited, err := Edited(path)
	if err != nil || edited {
		return false, err
	}
	// The hash goes first: interrupted between the two, the file counts as
	// edited, which loses an update but never a user's work.
	if err := os.WriteFile(path+hashSuffix, []byte(hash(content)), filePerm); err != nil {
		return false, err
	}
	return true, Write(path, content)
}

// Edited reports whether the file differs from what WriteUnlessEdited last
// wrote. A file it never wrote, or that is gone, counts as not edited.
func Edited(path string) (bool, error) {
	want, err := os.ReadFile(path + hashSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("hash of %s: %w", path, err)
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return hash(content) != string(want), nil
}

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
