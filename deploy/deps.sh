#!/bin/sh
# Installs what a verb of the Makefile needs and this machine lacks: nothing is
# touched when nothing is missing, and the one apt line is printed before it
# runs. On a system without apt it says what to install.
#
#   deploy/deps.sh build            a C compiler for the binding to libvirt
#   deploy/deps.sh build image run  also what builds the image and runs guests
#   deploy/deps.sh test             what tests look at packets and blocks with
#   deploy/deps.sh bench            the yardstick of the iSCSI benchmark
set -eu

missing=""
need() { # need PACKAGE TEST...: the test says whether it is there
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
command_is() { command -v "$1"; }
some_file() { # some_file PATTERN: a file of that name is there
	for f in $1; do [ -e "$f" ] && return 0; done
	return 1
}

PATH=$PATH:/usr/sbin:/sbin
for what in "$@"; do
	case $what in
	build)
		need gcc command_is gcc
		need libc6-dev some_file '/usr/include/stdlib.h'
		;;
	image)
		need e2fsprogs command_is mke2fs
		need dpkg command_is dpkg-deb
		;;
	run)
		need libvirt0 some_file '/usr/lib*/*/libvirt.so.0 /usr/lib*/libvirt.so.0'
		need libvirt-daemon-driver-qemu some_file '/usr/lib*/*/libvirt/connection-driver/libvirt_driver_qemu.so /usr/lib*/libvirt/connection-driver/libvirt_driver_qemu.so'
		need qemu-system-x86 command_is qemu-system-x86_64
		need qemu-utils command_is qemu-img
		need qemu-block-extra some_file '/usr/lib*/*/qemu/block-iscsi.so /usr/lib*/qemu/block-iscsi.so'
		need seabios some_file '/usr/share/seabios/bios-256k.bin /usr/share/qemu/bios-256k.bin'
		need ipxe-qemu some_file '/usr/lib/ipxe/qemu/*.rom /usr/share/qemu/efi-virtio.rom'
		need e2fsprogs command_is mke2fs
		need awscli command_is aws
		need openssh-client command_is ssh
		need iproute2 command_is ip
		;;
	test)
		need nftables command_is nft
		need libiscsi-bin command_is iscsi-test-cu
		need procps command_is sysctl
		;;
	bench)
		need tgt command_is tgtd
		;;
	*)
		echo "deps.sh: what is $what?" >&2
		exit 2
		;;
	esac
done
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
[ -n "${missing# }" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "This machine lacks what Debian calls: $missing" >&2
	echo "Install these with your system's package manager, then try again." >&2
	exit 1
fi
sudo=""
if [ "$(id -u)" != 0 ]; then
	sudo="sudo "
	command -v sudo >/dev/null || {
		echo "As root, run: apt-get update && apt-get install -y --no-install-recommends $missing" >&2
		exit 1
	}
fi
echo "${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends $missing"
export DEBIAN_FRONTEND=noninteractive
${sudo}apt-get -q update
${sudo}apt-get -q install -y --no-install-recommends $missing
