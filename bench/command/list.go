// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/fairway-project/fairway/bench"
)

// List writes the workloads with their arms.
func List(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 1, 3, ' ', 0)
	fmt.Fprintln(tw, "WORKLOAD\tARMS\tWHAT IT MEASURES")
	for _, load := range bench.Workloads() {
		var arms []string
		for _, a := range load.Arms() {
			arms = append(arms, string(a))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", load.Name(), strings.Join(arms, ","), load.About())
	}
	return tw.Flush()
}
