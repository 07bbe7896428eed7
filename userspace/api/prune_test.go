// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/model"
)

// halfPruned is a backend that can't remove one of the networks.
type halfPruned struct{ *apitest.Fake }

func (halfPruned) PruneNetworks(context.Context, func(model.Network) bool) ([]string, error) {
	return []string{"a", "c"}, errors.New("network b: device busy")
}

// A prune that removed some networks tells them, and why it left others.
func TestPruneTellsBoth(t *testing.T) {
	client := api.NewClient(apitest.Serve(t, halfPruned{apitest.NewFake(t)}, slog.New(slog.DiscardHandler)))
	names, err := client.PruneNetworks(t.Context(), nil)
	if !slices.Equal(names, []string{"a", "c"}) || err == nil || err.Error() != "network b: device busy" {
		t.Errorf("got %q, %v", names, err)
	}
}
