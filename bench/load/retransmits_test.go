// SPDX-License-Identifier: Apache-2.0

package load

import "testing"

func TestRetransmitsIn(t *testing.T) {
	const snmp = "Ip: A B\nIp: 1 2\nTcp: RtoMin RetransSegs InErrs\nTcp: 200 17 3\n"
	if n, err := retransmitsIn(snmp); err != nil || n != 17 {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := retransmitsIn("Tcp: A\nTcp: 1\n"); err == nil {
		t.Error("no error without the column")
	}
}
