// SPDX-License-Identifier: Apache-2.0

// Package metrics exports what the daemon knows to Prometheus. Nothing is kept
// between scrapes: a Collector reads the datapath's counters and the engine's
// counts when it is asked.
//
// Be aware:
//   - a scrape never fails. What can't be read is missing from it, and
//     fairway_scrape_errors_total goes up;
//   - counters live as long as the datapath's tables: they go on over a restart
//     of the daemon, and begin anew with an uninstall, a reboot or, in iptables
//     mode, with rules that were written again;
//   - labels are names of networks and sandboxes, never addresses, client ports
//     or IDs: the number of series is bounded by what the host runs.
package metrics
