// SPDX-License-Identifier: Apache-2.0

package services

import (
	"fmt"
	"slices"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
)

// Keys and values of parameters.
const (
	keyOp       = "op"
	keyTo       = "to"
	keyServices = "services"
	keyBackends = "backends"
	keyHealth   = "health"

	opRR      = "rr"
	opCRR     = "crr"
	opFollow  = "follow"
	opReplace = "replace"
	opKill    = "kill"
	opMemory  = "memory"

	toService   = "service"
	toContainer = "container"

	healthHTTP    = "http"
	healthPassive = "passive"
)

// Metrics beside those that other workloads have.
var (
	added      = plan.Metric{Unit: "added-ns", Better: plan.Lower}
	taken      = plan.Metric{Unit: "taken-ns", Better: plan.Lower}
	lost       = plan.Metric{Unit: "requests-lost", Better: plan.Lower}
	shareLost  = plan.Metric{Unit: "share-seconds-lost", Better: plan.Lower}
	made       = plan.Metric{Unit: "made-daemon-B", Better: plan.Lower}
	peak       = plan.Metric{Unit: "peak-daemon-B", Better: plan.Lower}
	rested     = plan.Metric{Unit: "rested-daemon-B", Better: plan.Lower}
	restarted  = plan.Metric{Unit: "restarted-daemon-B", Better: plan.Lower}
	serviceSec = plan.Metric{Unit: "made-services/s", Better: plan.Higher}
)

// Pairs there are at most.
const (
	crrPairs    = 12
	followPairs = 10
	lossPairs   = 3
	memoryPairs = 1
)

// many services are as many as rules that are walked one by one can be told from few by.
const many = 5000

// Cases implements plan.Workload.
func (w workload) Cases(s plan.Selection) []plan.Case {
	if s.Short {
		return nil
	}
	cases := []plan.Case{
		peerCase(opRR, toService), peerCase(opRR, toContainer),
		peerCase(opCRR, toService), peerCase(opCRR, toContainer),
		lanCase(toService, 1), lanCase(toService, many), lanCase(toContainer, 0),
		followCase(1000), replaceCase(20), killCase(10, healthHTTP), killCase(10, healthPassive), memoryCase(10000, 10),
	}
	if !slices.Equal(s.Arms, w.Arms()) {
		for i := range cases {
			if cases[i].Value(keyTo) == "" {
				continue
			}
			// Who names arms gets them all.
			cases[i].Arms = w.able(cases[i])
		}
	}
	return cases
}

// able are the arms that can have a case of rr or crr.
func (w workload) able(c plan.Case) []plan.Arm {
	if c.Value(keyTo) == toService {
		return w.Arms()
	}
	return slices.DeleteFunc(w.Arms(), func(a plan.Arm) bool { return a == plan.HAProxy || a == plan.IPVS })
}

// peerCase is from a container. It is up with its like, so that what a service costs is a
// ratio of pairs.
func peerCase(op, to string) plan.Case {
	metric := plan.ConnectionsSec
	if op == opRR {
		metric = plan.TransactionsSec
	}
	c := plan.Case{
		Walk: plan.ContainerToContainer, Family: plan.IPv4, Flows: 1,
		Params:  []plan.Param{{Key: keyOp, Value: op}, {Key: keyTo, Value: to}},
		Metrics: []plan.Metric{metric}, Group: op, Pairs: crrPairs,
	}
	if to == toContainer {
		c.Arms = []plan.Arm{plan.EBPF, plan.IPTables}
	}
	return c
}

// lanCase is from the LAN to a published port.
func lanCase(to string, services int) plan.Case {
	c := plan.Case{
		Walk: plan.LANToPublished, Family: plan.IPv4, Flows: 1,
		Params:  []plan.Param{{Key: keyOp, Value: opCRR}, {Key: keyTo, Value: to}},
		Metrics: []plan.Metric{plan.ConnectionsSec}, Group: "crr-lan", Pairs: crrPairs,
	}
	if to == toContainer {
		c.Arms = []plan.Arm{plan.EBPF, plan.IPTables}
		return c
	}
	c.Params = append(c.Params, plan.Param{Key: keyServices, Value: fmt.Sprint(services)})
	c.Axis = keyServices
	if services > 1 {
		c.Arms = []plan.Arm{plan.EBPF, plan.IPTables, plan.NFTables}
	}
	return c
}

func followCase(backends int) plan.Case {
	return plan.Case{
		Params:  []plan.Param{{Key: keyOp, Value: opFollow}, {Key: keyBackends, Value: fmt.Sprint(backends)}},
		Metrics: []plan.Metric{added, taken}, Arms: fairways(), Pairs: followPairs,
	}
}

func replaceCase(backends int) plan.Case {
	return plan.Case{
		Params:  []plan.Param{{Key: keyOp, Value: opReplace}, {Key: keyBackends, Value: fmt.Sprint(backends)}},
		Metrics: []plan.Metric{lost}, Arms: fairways(), Pairs: lossPairs,
	}
}

// killCase lasts as long as a check takes at least, and ten seconds of what the datapath sees:
// that long it passes a backend over twice.
func killCase(backends int, health string) plan.Case {
	c := plan.Case{
		Params: []plan.Param{
			{Key: keyOp, Value: opKill}, {Key: keyBackends, Value: fmt.Sprint(backends)}, {Key: keyHealth, Value: health},
		},
		Metrics: []plan.Metric{lost, shareLost}, Arms: fairways(), Pairs: lossPairs, Slice: 3 * time.Second,
	}
	if health == healthPassive {
		// The rules of iptables mode see nothing.
		c.Arms, c.Slice = []plan.Arm{plan.EBPF}, 10*time.Second
	}
	return c
}

// memoryCase isn't set up twice: that takes long, and the figure is compared to a bound.
func memoryCase(services, backends int) plan.Case {
	return plan.Case{
		Params: []plan.Param{
			{Key: keyOp, Value: opMemory}, {Key: keyServices, Value: fmt.Sprint(services)}, {Key: keyBackends, Value: fmt.Sprint(backends)},
		},
		Metrics: []plan.Metric{made, peak, rested, restarted, serviceSec}, Arms: []plan.Arm{plan.EBPF}, Pairs: memoryPairs, Single: true,
	}
}

func fairways() []plan.Arm { return []plan.Arm{plan.EBPF, plan.IPTables} }
