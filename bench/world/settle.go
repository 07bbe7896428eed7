// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// settlePatience is ample for the few containers of a world.
const settlePatience = 30 * time.Second

// errUnsettled is why a world's packets cost more than they will.
var errUnsettled = errors.New("containers' programs are filters still")

// settle waits until the programs of containers are attached as they stay: a new one's
// are filters for a moment, which cost each packet more.
func (w *World) settle(ctx context.Context) error {
	client := w.Client()
	if client == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	for {
		s, err := client.Status(ctx)
		if err != nil {
			return fmt.Errorf("arm %s: %w", w.Arm, err)
		}
		if !unsettled(s.Datapath) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("arm %s: %w", w.Arm, errUnsettled)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func unsettled(s datapath.Status) bool {
	links := slices.ContainsFunc(s.Features, func(f datapath.Feature) bool { return f.Name == "tcx" && f.Available })
	return links && slices.ContainsFunc(s.Attachments, func(a datapath.Attachment) bool { return a.How == "clsact" })
}
