// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

// perName does something to what name names and returns the line to print, empty for
// none.
type perName func(ctx context.Context, client *api.Client, name string) (line string, err error)

// forEach is a command that does the same to each of its arguments, also after an
// error.
func (a *app) forEach(do perName) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		client := a.client()
		return each(args, func(name string) error {
			line, err := do(cmd.Context(), client, name)
			if err == nil && line != "" {
				fmt.Fprintln(a.env.Stdout, line)
			}
			return err
		})
	}
}

// each does do for every name, also after an error.
func each(names []string, do func(string) error) error {
	var errs []error
	for _, n := range names {
		errs = append(errs, do(n))
	}
	return errors.Join(errs...)
}

// removed is the result of a removal: with force there is nothing wrong with, and
// nothing to say of, what doesn't exist.
func removed(name string, force bool, err error) (line string, _ error) {
	if force && errors.Is(err, request.ErrNotFound) {
		return "", nil
	}
	return name, err
}
