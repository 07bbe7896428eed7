// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// retransmits is how many TCP segments this namespace sent again.
func retransmits() (uint64, error) {
	const path = "/proc/thread-self/net/snmp"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return retransmitsIn(string(text))
}

// retransmitsIn reads the kernel's table, in which a line of names comes before
// one of values.
func retransmitsIn(snmp string) (uint64, error) {
	var names []string
	for line := range strings.Lines(snmp) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		i := slices.Index(names, "RetransSegs")
		if i < 0 || i >= len(fields) {
			break
		}
		return strconv.ParseUint(fields[i], 10, 64)
	}
	return 0, fmt.Errorf("no RetransSegs in /proc/net/snmp")
}
