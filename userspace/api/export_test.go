// SPDX-License-Identifier: Apache-2.0

package api

// RoutePatterns lists the routes for the test of the documentation.
func RoutePatterns() []string {
	var patterns []string
	for _, r := range (&handlers{}).routes() {
		patterns = append(patterns, r.pattern)
	}
	return patterns
}
