// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"strings"

	mdns "github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// served is a Config that is answered from, and what was learnt meanwhile.
type served struct {
	*Config
	silence silence
	calls   singleflight.Group
}

// once asks for what several clients want to know at a time once, and gives each
// the reply. More equal queries would help who forges replies (RFC 5452, 5). And
// where an upstream leads back to this resolver, the query that comes round ends
// here; else each would make another until the limit is reached, and on.
func (c *served) once(query *mdns.Msg, stream bool, ask func() *mdns.Msg) *mdns.Msg {
	key, err := sameness(query, stream)
	if err != nil {
		return failure(query, mdns.RcodeFormatError)
	}
	got, _, _ := c.calls.Do(key, func() (any, error) { return ask(), nil })
	reply := got.(*mdns.Msg).Copy()
	reply.Id, reply.Question = query.Id, query.Question
	return reply
}

// sameness is equal for queries that get the same reply: all but the ID, and the
// case of the name, in which forwarders hide random bits.
func sameness(query *mdns.Msg, stream bool) (string, error) {
	same := query.Copy()
	same.Id = 0
	same.Question[0].Name = strings.ToLower(same.Question[0].Name)
	p, err := same.Pack()
	if stream {
		p = append(p, 's')
	}
	return string(p), err
}
