// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/fairway-project/fairway/bench/load"
)

func iperf3() *tool {
	return &tool{
		name: "iperf3",
		server: func(at netip.AddrPort) []string {
			return []string{"-s", "-B", at.Addr().String(), "-p", port(at)}
		},
		client: func(to netip.AddrPort, seconds int) []string {
			return []string{"-J", "-c", to.Addr().String(), "-p", port(to), "-t", strconv.Itoa(seconds)}
		},
		parse: parseIperf3,
	}
}

func parseIperf3(out []byte) (rate float64, ops uint64, err error) {
	var report struct {
		Error string
		End   struct {
			Received struct {
				Bytes   uint64
				BitRate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return 0, 0, fmt.Errorf("output: %w\n%s", err, out)
	}
	if report.Error != "" {
		return 0, 0, fmt.Errorf("%s", report.Error)
	}
	return report.End.Received.BitRate / 8, report.End.Received.Bytes / load.DefaultBlock, nil
}

func sockperf(tcp bool) *tool {
	args := func(command string, at netip.AddrPort) []string {
		args := []string{command, "-i", at.Addr().String(), "-p", port(at)}
		if tcp {
			args = append(args, "--tcp")
		}
		return args
	}
	return &tool{
		name:   "sockperf",
		server: func(at netip.AddrPort) []string { return args("server", at) },
		client: func(to netip.AddrPort, seconds int) []string {
			return append(args("ping-pong", to), "-t", strconv.Itoa(seconds), "--msg-size", strconv.Itoa(load.DefaultMessage))
		},
		parse: parseSockperf,
	}
}

var sockperfLine = regexp.MustCompile(`\[Valid Duration\] RunTime=([0-9.]+) sec; SentMessages=(\d+); ReceivedMessages=(\d+)`)

func parseSockperf(out []byte) (rate float64, ops uint64, err error) {
	m := sockperfLine.FindSubmatch(out)
	if m == nil {
		return 0, 0, fmt.Errorf("no duration in the output\n%s", out)
	}
	seconds, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		return 0, 0, err
	}
	if string(m[2]) != string(m[3]) || seconds == 0 {
		return 0, 0, fmt.Errorf("%s messages sent, %s received", m[2], m[3])
	}
	ops, err = strconv.ParseUint(string(m[3]), 10, 64)
	return float64(ops) / seconds, ops, err
}

// wrk opens a connection for each request if it is told that it can't keep one.
func wrk() *tool {
	return &tool{
		name: "wrk",
		client: func(to netip.AddrPort, seconds int) []string {
			return []string{"-t", "1", "-c", "1", "-d", strconv.Itoa(seconds) + "s", "-H", "Connection: close", "http://" + to.String() + "/"}
		},
		parse: parseWrk,
	}
}

var (
	wrkRate   = regexp.MustCompile(`Requests/sec: +([0-9.]+)`)
	wrkCount  = regexp.MustCompile(`(\d+) requests in`)
	wrkErrors = regexp.MustCompile(`Socket errors:.*|Non-2xx.*`)
)

func parseWrk(out []byte) (rate float64, ops uint64, err error) {
	if failed := wrkErrors.Find(out); failed != nil {
		return 0, 0, fmt.Errorf("%s", failed)
	}
	r, n := wrkRate.FindSubmatch(out), wrkCount.FindSubmatch(out)
	if r == nil || n == nil {
		return 0, 0, fmt.Errorf("no rate in the output\n%s", out)
	}
	if rate, err = strconv.ParseFloat(string(r[1]), 64); err != nil {
		return 0, 0, err
	}
	ops, err = strconv.ParseUint(string(n[1]), 10, 64)
	return rate, ops, err
}

// httpService answers wrk's requests, whose length is known.
func httpService(at, asked netip.AddrPort) load.Service {
	request := "GET / HTTP/1.1\r\nHost: " + asked.String() + "\r\nConnection: close\r\n\r\n"
	return load.Service{
		Kind: load.CRR, Addr: at, Flows: 1, Request: len(request),
		Reply: []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
	}
}

func port(a netip.AddrPort) string { return strconv.Itoa(int(a.Port())) }
