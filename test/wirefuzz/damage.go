// SPDX-License-Identifier: Apache-2.0

package wirefuzz

// headers is how far into a frame what is interesting lies.
const headers = 80

// damage breaks a frame: cut short, made longer, with bits flipped or fields of the headers
// overwritten. Its hardware addresses stay, so that it arrives where it was sent to.
func (g *Generator) damage(b []byte) []byte {
	const addresses = 12
	if g.seldom(4) {
		b = b[:14+g.rand.IntN(len(b)-13)]
	}
	if g.seldom(8) {
		b = append(b, make([]byte, g.rand.IntN(64))...)
	}
	for range g.rand.IntN(4) {
		b[addresses+g.rand.IntN(len(b)-addresses)] ^= 1 << g.rand.IntN(8)
	}
	for range g.rand.IntN(3) {
		b[addresses+g.rand.IntN(min(len(b), headers)-addresses)] = byte(g.rand.Uint32())
	}
	return b
}
