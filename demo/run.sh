#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tour that "make demo" gives: a network namespace plays a host, another one a
# machine on its LAN, and a real nginx in a sandbox is asked from everywhere. Every
# step is checked; the first one that goes wrong ends the demo with an error, and
# whatever happens nothing is left behind.
#
#   DEMO_MODE=ebpf|iptables   which datapath (default ebpf)
#   DEMO_FAIRWAY=PATH         the program, built already
set -euo pipefail

readonly mode=${DEMO_MODE:-ebpf}
readonly repo=$(cd "$(dirname "$0")/.." && pwd)
readonly fairway=${DEMO_FAIRWAY:-$repo/bin/fairway}
readonly host_ip=192.0.2.1 lan_ip=192.0.2.10 port=8080 shop_port=8090 metrics=127.0.0.1:9090

# shellcheck source=demo/lib.sh
. "$repo/demo/lib.sh"

# --- preparation ------------------------------------------------------------

prepare() {
	case $mode in
	ebpf | iptables) ;;
	*) fail "DEMO_MODE=$mode: want ebpf or iptables" ;;
	esac
	say "Preparation: packages, build"
	install_missing
	[[ -n ${DEMO_FAIRWAY:-} ]] || make --no-print-directory -C "$repo" build
	[[ -x $fairway ]] || fail "no $fairway: run make build"
}

make_world() {
	say "A host ($host_ip) and a machine on its LAN ($lan_ip), each a network namespace"
	ip netns add "$host"
	ip netns add "$lan"
	ip link add eth0 netns "$host" type veth peer name eth0 netns "$lan"
	address "$host" "$host_ip"
	address "$lan" "$lan_ip"
	write_nginx "$work/lan" 80 "A server on the LAN"
	write_nginx "$work/web" 80 "nginx in a Fairway sandbox"
	exec_in "$lan" nginx -c "$work/lan/nginx.conf" 2>>"$work/lan/log" &
	lan_server=$!
	until_true "the LAN server answers" in_ns "$lan" curl -sf -o "$work/out" "http://$lan_ip/"
}

start_daemon() {
	exec_in "$host" "$fairway" daemon --datapath "$mode" --root "$work/root" --run-dir "$work/run" \
		--bpffs "$work/bpf" --metrics "$metrics" >>"$work/daemon.log" 2>&1 &
	daemon=$!
	until_true "the daemon answers" "$fairway" version
}

# --- the tour ---------------------------------------------------------------

create() {
	say "The daemon, working as the host's ($mode mode)"
	start_daemon
	step fairway version
	say "A network, and nginx in a sandbox on it, published on port $port"
	step fairway network create demo
	step fairway run -d --name web --network demo -p $port:80 -- nginx -c "$work/web/nginx.conf"
	expect '^[0-9a-f]{64}$'
	sandboxes+=("$(cat "$work/out")")
	step fairway ps
	expect 'web .*running|web .*Up|:8080->80/tcp'
	until_true "nginx answers" "$fairway" exec web -- curl -sf -o /dev/null http://127.0.0.1/
}

fetch() {
	say "From the LAN; nginx sees the client's own address"
	step_lan curl -sS -m 5 "http://$host_ip:$port/"
	expect 'nginx in a Fairway sandbox'
	step_lan curl -sS -m 5 "http://$host_ip:$port/client"
	expect "^$lan_ip\$"
	say "From the host, by 127.0.0.1 and by its address"
	step_host curl -sS -m 5 "http://127.0.0.1:$port/"
	expect 'nginx in a Fairway sandbox'
	step_host curl -sS -m 5 "http://$host_ip:$port/"
	expect 'nginx in a Fairway sandbox'
	say "From a second sandbox on the network, by name"
	step fairway run --rm --network demo -- curl -sS -m 5 http://web/
	expect 'nginx in a Fairway sandbox'
	say "From a sandbox to a server on the LAN, which sees the host's address"
	step fairway run --rm --network demo -- curl -sS -m 5 "http://$lan_ip/"
	expect 'A server on the LAN'
	step fairway run --rm --network demo -- curl -sS -m 5 "http://$lan_ip/client"
	expect "^$host_ip\$"
}

refuse() {
	local address
	address=$("$fairway" inspect web --format '{{.NetworkSettings.Networks.demo.IPAddress}}')
	say "Not from a sandbox on another network"
	step_fails fairway run --rm -- curl -sS -m 2 "http://$address/"
	say "And not from the LAN straight to the sandbox's address"
	in_ns "$lan" ip route add "$address" via "$host_ip"
	step_lan_fails curl -sS -m 2 "http://$address/"
	say "What was dropped so far, and why"
	step fairway status --format '{{range .Stats.Drops}}{{.Reason}} {{.Direction}} {{println .Packets}}{{end}}'
	expect '^direct_routing receive'
	# The rules of the iptables mode refuse both in one place.
	[[ $mode != ebpf ]] || expect '^isolated transmit'
}

survive() {
	say "Without the daemon (kill -9) the port is still served"
	kill -9 "$daemon"
	wait "$daemon" 2>/dev/null || true
	step_lan curl -sS -m 5 "http://$host_ip:$port/"
	expect 'nginx in a Fairway sandbox'
	start_daemon
	step fairway ps
	expect 'web'
}

look() {
	say "What the host tracks"
	step fairway flow ls
	[[ $mode != ebpf ]] || expect "$lan_ip"
	step fairway status
	expect "Datapath: +$mode"
	step_host sh -c "curl -sS -m 5 http://$metrics/metrics | grep -e ^fairway_container_receive_packets -e ^fairway_forwarded_packets -e ^fairway_flows"
	expect 'fairway_container_receive_packets_total\{name="web",network="demo",owner="fairway"\} [1-9]'
	say "What the host lacks, or has in the way"
	step_report fairway doctor
	expect '^OK +daemon '
}

# ask_shop WHERE ADDRESS [COMMAND...]: asks 40 times, each time by a new connection, and
# shows how often each backend answered.
ask_shop() {
	local where=$1 address=$2
	shift 2
	"$where" "$@" sh -c "for i in \$(seq 40); do curl -sS -m 5 http://$address/; done | sort | uniq -c"
	awk '{ n += $1 } END { exit n != 40 }' "$work/out" || fail "not all 40 requests were answered"
}

all_serve() { [[ $("$fairway" service ls --format '{{.Backends}}') == 3/3 ]]; }

serve() {
	local i
	say "A service: one name, one address and one port in front of three sandboxes"
	step fairway service create shop --network demo --port 80 --publish $shop_port:80 --select app=shop --health http:/,interval=500ms
	for i in 1 2 3; do
		write_nginx "$work/shop$i" 80 "shop $i"
		step fairway run -d --name "shop$i" --network demo --label app=shop -- nginx -c "$work/shop$i/nginx.conf"
		sandboxes+=("$(cat "$work/out")")
	done
	until_true "all three serve" all_serve
	step fairway service ls
	say "From the LAN by the port, and from a sandbox by the name; each connection gets one of the three"
	ask_shop step_lan "$host_ip:$shop_port"
	for i in 1 2 3; do expect "shop $i"; done
	ask_shop step shop fairway run --rm --network demo --
	for i in 1 2 3; do expect "shop $i"; done
	say "One of the three dies; the others serve"
	step fairway stop -s KILL shop2
	ask_shop step_lan "$host_ip:$shop_port"
	step fairway service backends shop
	expect 'shop1 .*active'
}

# The counters are the kernel's: what the programs did, not what the daemon believes.
compare() {
	local path=$1 before after
	before=$(awk -v p="$path" '$1 == p { print $2 }' "$work/before")
	after=$(awk -v p="$path" '$1 == p { print $2 }' "$work/after")
	say "Counters before and after the fetches"
	join -a 2 -e 0 -o 0,1.2,2.2 <(sort "$work/before") <(sort "$work/after") |
		awk 'BEGIN { printf "    %-28s %10s %10s\n", "", "BEFORE", "AFTER" } { gsub("_", " ", $1); printf "    %-28s %10d %10d\n", $1, $2, $3 }'
	((${after:-0} - ${before:-0} >= 40)) || fail "only $((${after:-0} - ${before:-0})) packets took the $path path"
}

main() {
	prepare
	as_root
	begin
	make_world
	create
	counters >"$work/before"
	fetch
	counters >"$work/after"
	if [[ $mode == ebpf ]]; then
		compare packets_forwarded_by_ebpf
	else
		compare packets_forwarded_by_stack
	fi
	refuse
	survive
	look
	serve
	finish
}

main "$@"
