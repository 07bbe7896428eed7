// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// ServiceLabel names the service of a container; options of the service are labels below it.
const ServiceLabel = client.LabelPrefix + "service"

// servicePrefix begins the labels of options.
const servicePrefix = ServiceLabel + "."

// weightOption is the container's own and not the service's.
const weightOption = "weight"

// Labels is what a container's labels ask for.
type Labels struct {
	request.ServiceCreate
	// Weight is the container's among the service's backends.
	Weight int
	// Options are the texts of all but the weight, by name: they have to be the same for
	// all containers of a service.
	Options map[string]string
}

// ReadLabels reads a container's labels; nil for one without a service.
func ReadLabels(labels map[string]string) (*Labels, error) {
	name, is := labels[ServiceLabel]
	if !is {
		return nil, nil
	}
	l := &Labels{Weight: 1, Options: make(map[string]string)}
	l.Name, l.EndpointMode = name, model.EndpointModeDNSRR
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		option, is := strings.CutPrefix(label, servicePrefix)
		if !is {
			continue
		}
		if option != weightOption {
			l.Options[option] = labels[label]
		}
		if err := l.set(option, strings.TrimSpace(labels[label])); err != nil {
			return nil, fmt.Errorf("label %s=%s: %w", label, labels[label], err)
		}
	}
	return l, nil
}

// set reads one option, of the names that "fairway service create" has.
func (l *Labels) set(option, text string) (err error) {
	switch option {
	case "port":
		l.Ports = list(text)
	case "publish":
		l.Publish = list(text)
	case "health":
		l.Health = text
	case "network":
		l.Networks = list(text)
	case "ip", "ip6", "endpoint-mode":
		err = errors.New("services of Docker's containers have no address of their own: an engine that starts again loses networks whose bridge has one; use the published port, from containers by extra_hosts host-gateway")
	case "scheduler":
		l.Scheduler = model.Scheduler(text)
	case "affinity":
		l.Affinity = text
	case "drain":
		l.Drain = text
	case "source-range":
		l.Sources, err = prefixes(text)
	case "passive":
		var passive bool
		passive, err = strconv.ParseBool(text)
		l.Passive = &passive
	case weightOption:
		l.Weight, err = strconv.Atoi(text)
		if err == nil && (l.Weight < 1 || l.Weight > model.MaxWeight) {
			err = fmt.Errorf("want a number from 1 to %d", model.MaxWeight)
		}
	default:
		err = fmt.Errorf("a service has no option %q", option)
	}
	return err
}

// list reads words with commas between them.
func list(text string) (all []string) {
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}

func prefixes(text string) (all []netip.Prefix, err error) {
	for _, word := range list(text) {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// differ names an option that two containers of a service say differently, with what each
// says; "" for none.
func (l *Labels) differ(o *Labels) string {
	names := maps.Clone(l.Options)
	maps.Copy(names, o.Options)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		mine, has := l.Options[name]
		others, had := o.Options[name]
		if mine != others || has != had {
			return fmt.Sprintf("%s is %s here and %s there", servicePrefix+name, said(mine, has), said(others, had))
		}
	}
	return ""
}

func said(text string, is bool) string {
	if !is {
		return "missing"
	}
	quoted, _ := json.Marshal(text)
	return string(quoted)
}
