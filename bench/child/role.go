// SPDX-License-Identifier: Apache-2.0

package child

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Role is what a child can be: its name is the process's only argument.
type Role struct {
	Name string
	// Run reads requests from in and answers on out until in ends.
	Run func(in io.Reader, out io.Writer) error
}

// Init runs one of the roles if the process was started for that, and does not
// return then.
func Init(args []string, roles ...Role) {
	if len(args) != 2 {
		return
	}
	for _, r := range roles {
		if r.Name != args[1] {
			continue
		}
		if err := r.Run(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// Requests calls handle for each line until in ends.
func Requests[T any](in io.Reader, handle func(T)) error {
	for decoder := json.NewDecoder(in); ; {
		var request T
		if err := decoder.Decode(&request); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		handle(request)
	}
}
