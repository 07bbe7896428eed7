// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"net"
	"net/http"
	"os"
)

// http answers whoever asks whether the side is there.
func (s *service) http() error {
	f := os.NewFile(uintptr(s.fd), "listener")
	l, err := net.FileListener(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		s.responses.Add(1)
	}))
}
