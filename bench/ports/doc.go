// SPDX-License-Identifier: Apache-2.0

// Package ports has the workload of published ports: what many of them cost those
// who connect to one, how long it takes until a new one answers, and how long a
// daemon takes to start with many.
//
//	op=crr      connections to one of N published ports, and the time until their
//	            SYN is answered
//	op=publish  from the call of the datapath until the first SYN is answered, for
//	            the last of so many ports, with so many of others present
//	op=start    from the start of a daemon until it answers
//
// Be aware:
//   - in the arms of Fairway ports are published by the datapath alone (package
//     step): the sockets that reserve them are no part of the figures, and a
//     machine may not allow as many;
//   - the ports of docker are those of one container. It takes some 50 ms for each,
//     so it has few unless asked for by name;
//   - an operation that deletes thousands of rules is left out: see withdraw;
//   - a SYN is tried every 100 µs, which is what times of op=publish are rounded to.
package ports
