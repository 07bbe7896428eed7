// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"fmt"
	"strings"
)

// confirm asks as Docker does; the end of the input is a no.
func (a *app) confirm(warning string) bool {
	fmt.Fprint(a.env.Stdout, warning+"\nAre you sure you want to continue? [y/N] ")
	answer, err := bufio.NewReader(a.env.Stdin).ReadString('\n')
	if err != nil {
		fmt.Fprintln(a.env.Stdout)
	}
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}
