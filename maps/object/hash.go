// SPDX-License-Identifier: Apache-2.0

package object

import "crypto/sha256"

// Hash is of the compiled object: another one has other programs.
func Hash() [sha256.Size]byte { return sha256.Sum256(_DatapathBytes) }
