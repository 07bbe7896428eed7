// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// stable replaces what is another with each run: IDs by those of a fixed sequence,
// so that the same one is the same everywhere, ephemeral ports likewise, times by
// constants.
type stable struct {
	prefix string
	ids    map[string]string
	ports  map[string]string
}

func newStable(id string) *stable {
	return &stable{prefix: id + "-", ids: map[string]string{}, ports: map[string]string{}}
}

var (
	dockerID   = regexp.MustCompile(`\b([0-9a-f]{64}|[0-9a-f]{12})\b`)
	ephemeral  = regexp.MustCompile(`:\d{5}\b`)
	devNumber  = regexp.MustCompile(`(?m)^\d+: eth`)
	peerNumber = regexp.MustCompile(`@if\d+`)
	// On a busy machine ping(8) adds how many requests were under way at once.
	roundTrip    = regexp.MustCompile(`= [\d.]+(/[\d.]+)+ ms(, pipe \d+)?`)
	spaceAtEnd   = regexp.MustCompile(`(?m) +$`)
	milliseconds = regexp.MustCompile(`\d+(\.\d+)? ?ms\b`)
)

// Where ip_local_port_range begins.
const firstEphemeral = 32768

func (s *stable) of(text string) string {
	text = strings.ReplaceAll(text, s.prefix, "")
	text = dockerID.ReplaceAllStringFunc(text, s.id)
	text = ephemeral.ReplaceAllStringFunc(text, s.port)
	text = devNumber.ReplaceAllString(text, "8: eth")
	text = peerNumber.ReplaceAllString(text, "@if9")
	text = roundTrip.ReplaceAllString(text, "= 0.1/0.1/0.1 ms")
	text = milliseconds.ReplaceAllString(text, "0.1 ms")
	return spaceAtEnd.ReplaceAllString(text, "")
}

func (s *stable) id(real string) string {
	short := real[:12]
	if s.ids[short] == "" {
		s.ids[short] = fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(len(s.ids)))))
	}
	return s.ids[short][:len(real)]
}

func (s *stable) port(real string) string {
	if n, err := strconv.Atoi(real[1:]); err != nil || n < firstEphemeral {
		return real
	}
	if s.ports[real] == "" {
		s.ports[real] = fmt.Sprint(":", firstEphemeral+len(s.ports))
	}
	return s.ports[real]
}

// Names of namespaces are the machine's, not the host's under test: other tests
// may use the same. The page has them without what makes them unique.
var ownName = regexp.MustCompile(`\b(red|blue)\b`)

func (s *stable) real(command string) string {
	if !strings.Contains(command, "ip netns") && !strings.Contains(command, "netns ") {
		return command
	}
	return ownName.ReplaceAllString(command, s.prefix+"$1")
}
