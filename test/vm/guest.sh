# SPDX-License-Identifier: Apache-2.0
# What runs in a guest, how it is booted, and how its results are read.

# End-to-end tests that show each walk once; emulation is some 20 times slower,
# and one at a time is what their time limits are for.
SMOKE='^(TestContainerToContainer|TestMasquerade|TestPublishedPortFromOutside|TestPublishedPortFromHost|TestHostToContainer|TestContainerToHost|TestHairpin|TestNetworksAreIsolated|TestSpoofedSource|TestNamesInScope)$'

# Modules that no system call asks for by itself, or too late.
GUEST_MODULES="bridge br_netfilter veth overlay sch_ingress cls_bpf sctp nf_tables nft_compat"

# A guest that says nothing for this long is stuck, in seconds.
GUEST_TIMEOUT=1800

# build_tests DIR makes everything static: the guest has no compiler's libraries.
build_tests() {
	rm -rf "$1" && mkdir -p "$1"
	export CGO_ENABLED=0
	go test -c -o "$1/programs.test" ./test/vm
	go test -c -o "$1/loader.test" ./loader
	go test -c -o "$1/e2e.test" ./test
	go test -c -o "$1/ebpf.test" ./userspace/datapath/ebpf
	go build -trimpath -o "$1/fairway" ./cmd/fairway
	go build -trimpath -o "$1/e2e-peer" ./test/cmd/e2e-peer
	unset CGO_ENABLED
	echo "$GUEST_MODULES" >"$1/modules"
	echo "programs FAIRWAY_RECORD_INSNS=${FAIRWAY_RECORD_INSNS:-} ./programs.test -test.v=test2json" >"$1/list"
	# Recording wants nothing else, and is ready in a minute.
	[ -z "${FAIRWAY_RECORD_INSNS:-}" ] || return 0
	cat >>"$1/list" <<-EOF
		loader ./loader.test -test.v=test2json -test.timeout=0 -test.short
		ebpf ./ebpf.test -test.v=test2json -test.timeout=0 -test.run '^TestTunnelsListen$'
		e2e FAIRWAY_BIN=/tests/fairway FAIRWAY_E2E_PEER=/tests/e2e-peer ./e2e.test -test.v=test2json -test.timeout=0 -test.parallel=1 -test.run '$SMOKE'
	EOF
}

# make_initrd NAME KERNEL TESTS
make_initrd() {
	rm -rf "$1"
	rootfs_base "$1"
	cp "$3"/* "$1/tests/"
	rootfs_modules "$1" "$2"
	rootfs_pack "$1" "$1.cpio.gz"
	rm -rf "$1"
}

# boot KERNEL INITRD CONSOLE RESULTS runs a guest to its end. It has one processor:
# with several, qemu's emulation runs stale breakpoints where the kernel patches its
# own code ("Oops: int3").
boot() {
	echo "test-vm: boot $(basename "$1")"
	timeout --foreground "$GUEST_TIMEOUT" qemu-system-x86_64 \
		-accel tcg -cpu max -smp 1 -m 2G -display none -nic none -no-reboot \
		-kernel "$1"/boot/vmlinuz-* -initrd "$2" \
		-append "console=ttyS0 quiet panic=-1 oops=panic" \
		-serial "file:$3" -serial "file:$4" </dev/null && grep -q '^vm: done' "$4" || {
		echo "test-vm: guest ended early; the end of its console:" >&2
		tail -n 30 "$3" >&2
		return 1
	}
}

# to_events SERIES RESULTS EVENTS turns the guest's output into what go test
# -json prints. A test binary that was cut off counts as failed.
to_events() {
	local name
	: >"$3"
	for name in $(sed -n 's/^vm: begin //p' "$2"); do
		sed -n "/^vm: begin $name\$/,/^vm: end $name /p" "$2" | sed '/^vm: /d' |
			go tool test2json -t -p "linux-$1/$name" >>"$3"
	done
}

# record SERIES RESULTS replaces the counts of a series in budget.txt.
record() {
	local counts
	counts=$(sed -n 's/^insns: //p' "$2")
	[ -n "$counts" ] || return 1
	{ grep -v "^$1 " test/vm/budget.txt || true; echo "$counts"; } | sort -V -o test/vm/budget.txt
}
