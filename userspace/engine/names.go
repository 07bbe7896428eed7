// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"

	"github.com/fairway-project/fairway/userspace/request"
)

// newID returns a fresh identifier of 64 lower-case hex digits, as Docker's are.
func newID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// shortID is the form in which tables and device names show id.
func shortID(id string) string { return id[:min(12, len(id))] }

// claimSandboxName keeps name, or one of the daemon's choice for "", until release.
func (s *state) claimSandboxName(name string) (claimed string, release func(), err error) {
	if name != "" {
		release, err = s.claimSandbox(name)
		return name, release, err
	}
	for range 100 {
		name = madeUpName()
		if release, err = s.claimSandbox(name); err == nil {
			return name, release, nil
		}
	}
	return "", nil, request.Errorf(request.ErrConflict, "sandbox name: found none that is free; give one with --name")
}

// madeUpName returns a name like brisk_tern_4711.
func madeUpName() string {
	return fmt.Sprintf("%s_%s_%d", pick(nameAdjectives()), pick(nameBirds()), randomBelow(10000))
}

func nameAdjectives() []string {
	return []string{
		"amber", "bold", "brisk", "calm", "clear", "deep", "eager", "fair", "fresh", "gentle",
		"keen", "lively", "mild", "nimble", "quiet", "steady", "swift", "tidy", "warm", "wide",
	}
}

func nameBirds() []string {
	return []string{
		"auk", "bittern", "coot", "curlew", "dunlin", "eider", "fulmar", "gannet", "godwit", "grebe",
		"heron", "kittiwake", "knot", "plover", "puffin", "ruff", "skua", "smew", "tern", "wigeon",
	}
}

func pick(words []string) string { return words[randomBelow(len(words))] }

func randomBelow(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		// crypto/rand.Reader never fails (its documentation).
		panic(err)
	}
	return int(i.Int64())
}
