// Command image builds the images that Skerry registers in every region,
// skerry-linux and its next release, from Debian packages and from the guest's
// init in this tree.
//
//	apt-get download ─▶ cache/*.deb ─▶ dpkg-deb --fsys-tarfile ─▶ tree (memory)
//	                                                                │
//	  linux-image-*-cloud ──▶ skerry-linux.vmlinuz                  │
//	  its modules + guest ──▶ skerry-linux.initrd  (cpio, gzip)     │
//	  mke2fs + debugfs ◀────── RELEASE.root        (raw ext4) ◀─────┘
//	  images.json: names, digests, sizes, kernel command line
//
// It needs no privileges, no mount and no loop device: packages are read as
// streams, and the file system is written by debugfs, which sets owner and mode
// itself. The same packages and the same source make the same bytes. A stamp
// (packages, init, recipe) makes a second run quick. Files are replaced by
// rename, so that whoever holds a hard link to an old one keeps it whole.
package main
