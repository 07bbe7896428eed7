# SPDX-License-Identifier: Apache-2.0
# Finds, fetches and unpacks Debian's cloud kernels, without installing them.

# kernel_package SERIES prints the newest package of the series, as in 6.12.
kernel_package() {
	apt-cache pkgnames "linux-image-$1." | grep -E '^linux-image-[0-9][0-9.+a-z-]*-cloud-amd64$' |
		sort -V | tail -n 1
}

# kernel_fetch SERIES CACHE prints the directory that the kernel is unpacked in.
kernel_fetch() {
	local package dir
	package=$(kernel_package "$1")
	if [ -z "$package" ]; then
		echo "test-vm: apt knows no linux-image-$1.*-cloud-amd64; add Debian 12's sources and run apt-get update" >&2
		return 1
	fi
	dir=$2/$package
	if [ ! -e "$dir/unpacked" ]; then
		rm -rf "$dir"
		mkdir -p "$dir"
		(cd "$dir" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2)
		dpkg-deb -x "$dir"/*.deb "$dir"
		rm "$dir"/*.deb
		touch "$dir/unpacked"
	fi
	echo "$dir"
}
