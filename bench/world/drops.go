// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"fmt"
	"strings"
)

// Drops says what Fairway's datapath has dropped so far, and why; nothing on arms
// that aren't Fairway's. It is for the message of an error.
func (w *World) Drops(ctx context.Context) string {
	client := w.Client()
	if client == nil {
		return ""
	}
	status, err := client.Status(ctx)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, d := range status.Stats.Drops {
		if d.Packets > 0 {
			all = append(all, fmt.Sprintf("%d %s (%s)", d.Packets, d.Reason, d.Direction))
		}
	}
	if len(all) == 0 {
		return "nothing dropped by programs or rules"
	}
	return "dropped: " + strings.Join(all, ", ")
}
