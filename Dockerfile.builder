# SPDX-License-Identifier: Apache-2.0
#
# The compiler that makes the eBPF objects. Debian 12 packages it, so the same
# check runs on a plain Debian 12 with make check-generated; make check-builder
# proves that this file gives the same objects.
#
#   CGO_ENABLED=0 go build -o bin/bpf2go github.com/cilium/ebpf/cmd/bpf2go
#   docker build -t fairway-builder - <Dockerfile.builder
#   docker run --rm -v "$PWD:/src" fairway-builder build/compile bin/bpf2go
FROM debian:12

RUN apt-get update && \
	apt-get install -y --no-install-recommends \
		clang-19=1:19.1.7-3~deb12u1 \
		llvm-19=1:19.1.7-3~deb12u1 \
		libbpf-dev=1:1.1.2-0+deb12u1 \
		linux-libc-dev && \
	rm -rf /var/lib/apt/lists/*

WORKDIR /src
