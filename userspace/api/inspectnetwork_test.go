// SPDX-License-Identifier: Apache-2.0

package api

import (
	"slices"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// Endpoints of other hosts have no sandbox here: none hides another.
func TestInspectedEndpointsElsewhere(t *testing.T) {
	endpoint := func(id, sandbox, host string) request.NetworkEndpoint {
		return request.NetworkEndpoint{Endpoint: model.Endpoint{ID: id, SandboxID: sandbox, Host: host}}
	}
	doc := inspectNetwork(request.NetworkView{Endpoints: []request.NetworkEndpoint{
		endpoint("a", "here", ""), endpoint("b", "", "lorry"), endpoint("c", "", "lorry"), endpoint("d", "there", "van"),
	}})
	var keys []string
	for key, e := range doc.Containers {
		keys = append(keys, key+" "+e.EndpointID)
	}
	slices.Sort(keys)
	if want := []string{"ep-b b", "ep-c c", "ep-d d", "here a"}; !slices.Equal(keys, want) {
		t.Errorf("got %v, want %v", keys, want)
	}
}
