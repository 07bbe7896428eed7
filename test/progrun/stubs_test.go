package progrun
func icmpErrorCases(f family) []testCase { return nil }
func ttlCases(f family) []testCase { return nil }
func tooBigCases(f family) []testCase { return nil }
func fragmentCases(f family) []testCase { return nil }
func headerCases(f family) []testCase { return nil }
func tcpCases(f family) []testCase { return nil }
func lifetimeCases(f family) []testCase { return nil }
func toContainerCases(f family) []testCase { return nil }
func toUplinkCases(f family) []testCase { return nil }
