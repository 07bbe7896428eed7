// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"

	"github.com/fairway-project/fairway/userspace/request"
)

// streams are the files of a main process; nil sends its output to the log.
func streams(s *request.Stdio) *[3]*os.File {
	if s == nil {
		return nil
	}
	return &[3]*os.File{s.Stdin, s.Stdout, s.Stderr}
}

// execStreams are the files of a further process, /dev/null where there are
// none. The caller calls done after the start.
func execStreams(s *request.Stdio) (files *[3]*os.File, done func(), err error) {
	if s != nil {
		return streams(s), func() {}, nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	return &[3]*os.File{null, null, null}, func() { null.Close() }, nil
}
