// SPDX-License-Identifier: Apache-2.0

// Package floors holds the house to its plan: its test draws the house from imports and
// fails where an arrow goes up. docs/architecture.md says what lives on which floor.
package floors
