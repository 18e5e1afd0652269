// Command guest is the first process of a Skerry guest: it is the whole
// initial ramdisk, becomes PID 1 and never leaves.
//
//	kernel ─▶ /init (this program, in the ramdisk)
//	            modules, /dev /proc /sys        SKERRY-INIT <uptime s>
//	            mount the root disk, move into it, grow it to its disk
//	            ephemeral disk to /mnt          SKERRY-DISK <dev>=<where> …
//	            lo, DHCP, instance metadata     SKERRY-NET <if>=<address> | none
//	            keys for ec2-user, SSH server   SKERRY-READY <uptime s>
//	            user-data, once per instance    SKERRY-USERDATA exit=<code>
//	            wait: reap orphans, power button, renew the lease,
//	            name volumes as they come, answer the host
//	            power button or poweroff        SKERRY-SHUTDOWN
//
// A volume has the name that the API gave it, /dev/xvdb, as a link to its disk
// for as long as the disk is there (links.go); the host may ask what is mounted
// before it takes a disk away (hostport.go, DESIGN.md).
//
// It promises that the markers, one per line, appear on the console in that
// order, that a guest without a network device, without a DHCP answer or
// without a metadata service still becomes ready within a bound, and that a
// press of the power button ends in a clean unmount. No shell is offered on the
// console: whoever can reach a serial port is nobody in particular.
//
// It expects the kernel to have ext4, packet sockets and devtmpfs built in, the
// modules to be in /m in the order of /m/order, and the disks to carry serials:
// "root", "ephemeral0" …; "vol" and 17 digits is a volume, which is named and
// otherwise left alone.
package main
