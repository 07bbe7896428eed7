// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/request"
)

// Service is what the labels of containers on one network come to.
type Service struct {
	model.Service
	// Said is the container whose labels count: the oldest one, so that nothing that works
	// changes because another container comes.
	Said string
	// Contradictions are what the labels of others say differently, by container. They
	// serve all the same.
	Contradictions map[string]string
}

// labeled is a container with labels that can be read.
type labeled struct {
	client.Container
	*Labels
	// networks are those that its service is in; the first one tells services of one name
	// apart.
	networks []*model.Network
}

// Services says which services containers ask for, in the order of their age, and what
// keeps a container from being in one, by container ID. A service is known by its name and
// its first network: two projects may have one of the same name each.
func Services(networks map[string]Network, containers []client.Container) (all []Service, troubles map[string]error) {
	troubles = make(map[string]error)
	groups := make(map[string]*Service)
	firsts := make(map[string]*labeled)
	containers = slices.SortedFunc(slices.Values(containers), func(a, b client.Container) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID))
	})
	var order []string
	at := placesOn(networks)
	for _, c := range containers {
		l, err := readLabeled(at, c)
		if err != nil {
			troubles[c.ID] = err
		}
		if l == nil {
			continue
		}
		id := serviceID(l.Labels.Name, l.networks[0].ID)
		s := groups[id]
		if s == nil {
			if s, err = newService(id, l); err != nil {
				troubles[c.ID] = err
				continue
			}
			order, groups[id], firsts[id] = append(order, id), s, l
		} else if text := l.differ(firsts[id].Labels); text != "" {
			s.Contradictions[c.Name()] = text
		}
		s.Backends = append(s.Backends, model.ServiceBackend{Name: c.Name(), Weight: l.Weight})
	}
	for _, id := range order {
		all = append(all, *groups[id])
	}
	return all, troubles
}

// readLabeled returns nil for a container without a service.
func readLabeled(at *places, c client.Container) (*labeled, error) {
	labels, err := ReadLabels(c.Labels)
	if labels == nil {
		return nil, err
	}
	l := &labeled{Container: c, Labels: labels}
	on := at.attachments(c)
	if len(labels.Networks) == 0 {
		g := policy.Elect(on)
		switch {
		case g.V4 != nil:
			l.networks = append(l.networks, g.V4.Network)
		case g.V6 != nil:
			l.networks = append(l.networks, g.V6.Network)
		case len(on) > 0:
			l.networks = append(l.networks, slices.SortedFunc(slices.Values(on), policy.Compare)[0].Network)
		}
	}
	for _, name := range labels.Networks {
		i := slices.IndexFunc(on, func(a policy.Attachment) bool { return isNamed(a.Network, name, c) })
		if i < 0 {
			return nil, fmt.Errorf("service %s: the container isn't on network %s", labels.Name, name)
		}
		l.networks = append(l.networks, on[i].Network)
	}
	if len(l.networks) == 0 {
		// It has no endpoint yet, or on other drivers' networks only.
		return nil, nil
	}
	labels.Networks = nil
	for _, n := range l.networks {
		labels.Networks = append(labels.Networks, n.Name)
	}
	return l, nil
}

// isNamed knows a network by its name, its ID and the name that it has in a Compose file.
func isNamed(n *model.Network, name string, c client.Container) bool {
	project := c.Labels[client.ProjectLabel]
	return n.Name == name || n.ID == name || project != "" && n.Name == project+"_"+name
}

func newService(id string, l *labeled) (*Service, error) {
	spec, err := l.Service()
	if err != nil {
		return nil, err
	}
	s := &Service{Service: *spec, Said: l.Container.Name(), Contradictions: make(map[string]string)}
	s.ID = id
	for _, n := range l.networks {
		s.Networks = append(s.Networks, model.ServiceNetwork{NetworkID: n.ID, Internal: n.Internal})
	}
	return s, nil
}

// serviceID is the same after each restart.
func serviceID(name, networkID string) string {
	sum := sha256.Sum256([]byte("service " + networkID + " " + name))
	return hex.EncodeToString(sum[:])
}

// Contradiction has one sentence for all that containers of a service say differently, nil
// for nothing.
func (s *Service) Contradiction() error {
	if len(s.Contradictions) == 0 {
		return nil
	}
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(s.Contradictions)) {
		texts = append(texts, fmt.Sprintf("container %s contradicts %s, whose labels count: %s", name, s.Said, s.Contradictions[name]))
	}
	return request.Errorf(request.ErrConflict, "%s", strings.Join(texts, "; "))
}
