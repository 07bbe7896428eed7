# SPDX-License-Identifier: Apache-2.0
# Puts together the file system that a guest runs in: busybox, the machine's own
# network tools with their libraries, a kernel's modules, and the tests.

# Programs that the tests call; everything else is busybox's.
TOOLS="ip tc nft iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore ethtool ping socat nsenter"

# Modules by directory: what a host has for networks and file systems.
MODULE_DIRS="kernel/net kernel/drivers/net/veth.* kernel/drivers/net/vxlan kernel/drivers/net/dummy.*
	kernel/drivers/net/tun.* kernel/fs/overlayfs kernel/lib kernel/arch/x86/crypto kernel/crypto"

# rootfs_base DIR
rootfs_base() {
	local dir=$1 tool
	mkdir -p "$dir"/{bin,dev,proc,sys,run,tmp,root,etc,tests,usr,var/lib}
	ln -sfn bin "$dir/sbin" && ln -sfn ../bin "$dir/usr/bin" && ln -sfn ../bin "$dir/usr/sbin"
	cp "$(command -v busybox)" "$dir/bin/busybox"
	for tool in $(busybox --list | grep -vx busybox); do
		ln -sf busybox "$dir/bin/$tool"
	done
	for tool in $TOOLS; do
		rootfs_tool "$dir" "$tool"
	done
	rootfs_xtables "$dir"
	cp /etc/protocols /etc/services "$dir/etc/" 2>/dev/null || true
	echo 'root:x:0:0:root:/root:/bin/sh' >"$dir/etc/passwd"
	echo 'nameserver 192.0.2.53' >"$dir/etc/resolv.conf"
	printf '127.0.0.1 localhost\n::1 localhost\n' >"$dir/etc/hosts"
	cp "$(dirname "${BASH_SOURCE[0]}")/init" "$dir/init"
}

# rootfs_tool DIR PROGRAM copies a program with the libraries that it is linked to.
rootfs_tool() {
	local path
	path=$(command -v "$2") || { echo "test-vm: $2 is missing; run make deps-vm" >&2; return 1; }
	rm -f "$1/bin/$2"
	cp -L "$path" "$1/bin/$2"
	rootfs_libraries "$1" "$path"
}

rootfs_libraries() {
	local library
	ldd "$2" | grep -oE '/[^ ]+' | while read -r library; do
		[ -e "$1$library" ] && continue
		mkdir -p "$1$(dirname "$library")"
		cp -L "$library" "$1$library"
	done
}

# iptables loads its matches and targets when it runs.
rootfs_xtables() {
	local plugins=/usr/lib/x86_64-linux-gnu/xtables plugin
	mkdir -p "$1$plugins"
	cp -L "$plugins"/*.so "$1$plugins/"
	for plugin in "$plugins"/*.so; do
		rootfs_libraries "$1" "$plugin"
	done
}

# rootfs_modules DIR KERNEL copies modules, unpacked, and indexes them.
rootfs_modules() {
	local modules release pattern
	modules=$(echo "$2"/lib/modules/*)
	release=$(basename "$modules")
	mkdir -p "$1/lib/modules/$release"
	for pattern in $MODULE_DIRS; do
		(cd "$modules" && find $pattern -name '*.ko*' 2>/dev/null | cpio -pdm --quiet "$(realpath "$1")/lib/modules/$release")
	done
	find "$1/lib/modules" -name '*.xz' -exec unxz {} +
	cp "$modules"/modules.{builtin,order} "$1/lib/modules/$release/"
	busybox depmod -b "$1" "$release"
}

# rootfs_pack DIR FILE
rootfs_pack() {
	(cd "$1" && find . | cpio -o -H newc --quiet) | gzip -1 >"$2"
}
