// SPDX-License-Identifier: Apache-2.0

package sockets

import "testing"

func TestParseTools(t *testing.T) {
	for _, tt := range []struct {
		name  string
		parse func([]byte) (float64, uint64, error)
		out   string
		rate  float64
		ops   uint64
		fails bool
	}{
		{name: "iperf3", parse: parseIperf3, out: `{"end":{"sum_received":{"bytes":262144,"bits_per_second":8000}}}`, rate: 1000, ops: 2},
		{name: "iperf3 refused", parse: parseIperf3, out: `{"error":"unable to connect"}`, fails: true},
		{name: "iperf3 says nothing", parse: parseIperf3, fails: true},
		{
			name: "sockperf", parse: parseSockperf,
			out:  "sockperf: [Valid Duration] RunTime=0.500 sec; SentMessages=100; ReceivedMessages=100\n",
			rate: 200, ops: 100,
		},
		{
			name: "sockperf lost one", parse: parseSockperf,
			out: "sockperf: [Valid Duration] RunTime=0.500 sec; SentMessages=100; ReceivedMessages=99\n", fails: true,
		},
		{name: "sockperf says nothing", parse: parseSockperf, fails: true},
		{name: "wrk", parse: parseWrk, out: "  9912 requests in 1.03s, 571.10KB read\nRequests/sec:   9656.22\n", rate: 9656.22, ops: 9912},
		{
			name: "wrk failed", parse: parseWrk,
			out: "  9912 requests in 1.03s\n  Socket errors: connect 1, read 0, write 0, timeout 0\nRequests/sec:   9656.22\n", fails: true,
		},
		{name: "wrk says nothing", parse: parseWrk, fails: true},
	} {
		rate, ops, err := tt.parse([]byte(tt.out))
		if rate != tt.rate || ops != tt.ops || (err != nil) != tt.fails {
			t.Errorf("%s: %v, %d, %v", tt.name, rate, ops, err)
		}
	}
}
