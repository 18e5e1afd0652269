#!/bin/sh
# Compiles the data plane. It needs clang and libbpf's headers; what it makes is
# committed, with the hash of the source it was made from.
set -e
cd "$(dirname "$0")"
clang -O2 -g -Wall -Werror -mcpu=v3 -target bpf -I"/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. -c vpc.bpf.c -o vpc.o
llvm-strip -g vpc.o
sha256sum vpc.bpf.c | cut -d' ' -f1 > vpc.sum
