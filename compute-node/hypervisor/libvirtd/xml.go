package libvirtd

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"libvirt.org/go/libvirtxml"

	"skerry/compute-node/hypervisor"
)

// namespace marks our element in a domain's metadata.
const namespace = "https://skerry.invalid/domain/1"

// boot is our element: which instance a domain is and which start of it.
type boot struct {
	XMLName    xml.Name `xml:"boot"` // libvirt hands it out without its namespace
	Instance   string   `xml:"instance,attr"`
	Generation uint64   `xml:"generation,attr"`
	Reboots    uint64   `xml:"reboots,attr"`
}

func parseBoot(s string) (boot, error) {
	var b boot
	if err := xml.Unmarshal([]byte(s), &b); err != nil {
		return b, fmt.Errorf("metadata: %w", err)
	}
	if b.Instance == "" {
		return b, errors.New("metadata: no instance id")
	}
	return b, nil
}

// domainXML is what libvirt is to run. A domain of QEMU's q35 with direct kernel
// boot, devices on PCI Express ports and nothing that is not asked for. Channel
// is the socket at which the guest can be asked what it has mounted.
func domainXML(d hypervisor.Domain, emulator, channel string) (string, error) {
	if err := d.Check(); err != nil {
		return "", err
	}
	uuid, err := hypervisor.UUID(d.ID)
	if err != nil {
		return "", err
	}
	typ := "qemu"
	if d.Accel == hypervisor.KVM {
		typ = "kvm"
	}
	meta := fmt.Sprintf(`<sk:boot xmlns:sk="%s" instance="%s" generation="%d" reboots="%d"/>`, namespace, d.ID, d.Generation, d.Reboots)
	entry := func(name, value string) libvirtxml.DomainSysInfoEntry {
		return libvirtxml.DomainSysInfoEntry{Name: name, Value: value}
	}
	x := libvirtxml.Domain{
		Type:     typ,
		Name:     d.ID,
		UUID:     uuid,
		Metadata: &libvirtxml.DomainMetadata{XML: meta},
		Memory:   &libvirtxml.DomainMemory{Value: uint(d.MemoryMiB), Unit: "MiB"},
		VCPU:     &libvirtxml.DomainVCPU{Value: uint(d.VCPUs)},
		OS: &libvirtxml.DomainOS{
			Type:    &libvirtxml.DomainOSType{Arch: "x86_64", Machine: "q35", Type: "hvm"},
			Kernel:  d.Kernel,
			Initrd:  d.Initrd,
			Cmdline: d.Cmdline,
			SMBios:  &libvirtxml.DomainSMBios{Mode: "sysinfo"},
		},
		// Guests tell EC2 by these tables; the serial must equal the uuid.
		SysInfo: []libvirtxml.DomainSysInfo{{SMBIOS: &libvirtxml.DomainSysInfoSMBIOS{
			BIOS:      &libvirtxml.DomainSysInfoBIOS{Entry: []libvirtxml.DomainSysInfoEntry{entry("vendor", "Amazon EC2")}},
			System:    &libvirtxml.DomainSysInfoSystem{Entry: []libvirtxml.DomainSysInfoEntry{entry("manufacturer", "Amazon EC2"), entry("product", d.Type), entry("serial", uuid), entry("uuid", uuid)}},
			BaseBoard: []libvirtxml.DomainSysInfoBaseBoard{{Entry: []libvirtxml.DomainSysInfoEntry{entry("manufacturer", "Amazon EC2"), entry("asset", d.ID)}}},
			Chassis:   &libvirtxml.DomainSysInfoChassis{Entry: []libvirtxml.DomainSysInfoEntry{entry("manufacturer", "Amazon EC2"), entry("asset", "Amazon EC2")}},
		}}},
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		Clock:      &libvirtxml.DomainClock{Offset: "utc"},
		OnPoweroff: "destroy",
		OnReboot:   "restart",
		OnCrash:    "destroy",
		Devices: &libvirtxml.DomainDeviceList{
			Emulator:   emulator,
			MemBalloon: &libvirtxml.DomainMemBalloon{Model: "none"},
			Serials: []libvirtxml.DomainSerial{{Source: &libvirtxml.DomainChardevSource{
				File: &libvirtxml.DomainChardevSourceFile{Path: d.Console, Append: "on"},
			}}},
			RNGs: []libvirtxml.DomainRNG{{Model: "virtio", Backend: &libvirtxml.DomainRNGBackend{
				Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"},
			}}},
		},
	}
	if d.Accel == hypervisor.KVM {
		x.CPU = &libvirtxml.DomainCPU{Mode: "host-passthrough"}
	} else {
		// The default buffer grows to a gigabyte.
		x.Features.TCG = &libvirtxml.DomainFeatureTCG{TBCache: &libvirtxml.DomainFeatureTCGTBCache{Unit: "MiB", Size: uint(d.TBCache)}}
	}
	index := func(i uint) *uint { return &i }
	x.Devices.Controllers = append(x.Devices.Controllers,
		libvirtxml.DomainController{Type: "usb", Index: index(0), Model: "none"},
		libvirtxml.DomainController{Type: "pci", Index: index(0), Model: "pcie-root"})
	// More ports than asked for: the random number generator and the channel to
	// the guest sit on them.
	for i := range uint(d.RootPorts) + 2 {
		x.Devices.Controllers = append(x.Devices.Controllers, libvirtxml.DomainController{Type: "pci", Index: index(i + 1), Model: "pcie-root-port"})
	}
	x.Devices.Controllers = append(x.Devices.Controllers, libvirtxml.DomainController{Type: "virtio-serial", Index: index(0)})
	x.Devices.Channels = []libvirtxml.DomainChannel{{
		Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{Mode: "bind", Path: channel}},
		Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: "org.qemu.guest_agent.0"}},
	}}
	for i, k := range d.Disks {
		x.Devices.Disks = append(x.Devices.Disks, libvirtxml.DomainDisk{
			Device: "disk",
			// The host's page cache is as durable as an instance-store disk
			// claims to be: it outlives the guest and the agent, not the host.
			Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: k.Format, Cache: "unsafe", Discard: "unmap"},
			Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: k.Path}},
			Target: &libvirtxml.DomainDiskTarget{Dev: "vd" + string(rune('a'+i)), Bus: "virtio"},
			Serial: k.Serial,
		})
	}
	for _, n := range d.NICs {
		x.Devices.Interfaces = append(x.Devices.Interfaces, libvirtxml.DomainInterface{
			MAC:    &libvirtxml.DomainInterfaceMAC{Address: n.MAC},
			Source: &libvirtxml.DomainInterfaceSource{Ethernet: &libvirtxml.DomainInterfaceSourceEthernet{}},
			// A managed tap would be deleted when the domain ends.
			Target: &libvirtxml.DomainInterfaceTarget{Dev: n.Tap, Managed: "no"},
			Model:  &libvirtxml.DomainInterfaceModel{Type: "virtio"},
		})
	}
	return x.Marshal()
}

// consoleOf finds the console file in a domain's XML.
func consoleOf(s string) (string, error) {
	var x libvirtxml.Domain
	if err := x.Unmarshal(s); err != nil {
		return "", err
	}
	if x.Devices != nil {
		for _, c := range x.Devices.Serials {
			if c.Source != nil && c.Source.File != nil {
				return c.Source.File.Path, nil
			}
		}
	}
	return "", errors.New("the domain has no console file")
}

// startTime is field 22 of /proc/pid/stat: with the pid it names a process for
// as long as the machine is up. A zombie has none.
func startTime(stat string) string {
	_, rest, ok := strings.Cut(stat, ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 20 || f[0] == "Z" {
		return ""
	}
	if _, err := strconv.ParseUint(f[19], 10, 64); err != nil {
		return ""
	}
	return f[19]
}

// volumeXML is the disk of a volume. The relay holds the guest's requests while
// its storage node is away, so an error that comes through is one to report.
func volumeXML(v hypervisor.Volume, dev string) (string, error) {
	cache := "none"
	if v.WriteThrough {
		cache = "directsync"
	}
	x := libvirtxml.DomainDisk{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "raw", Cache: cache, Discard: "unmap", ErrorPolicy: "report"},
		Source: &libvirtxml.DomainDiskSource{Network: &libvirtxml.DomainDiskSourceNetwork{
			Protocol: "iscsi", Name: v.Target + "/1",
			Hosts:     []libvirtxml.DomainDiskSourceHost{{Name: v.Portal.Addr().String(), Port: strconv.Itoa(int(v.Portal.Port()))}},
			Initiator: &libvirtxml.DomainDiskSourceNetworkInitiator{IQN: &libvirtxml.DomainDiskSourceNetworkIQN{Name: v.Initiator}},
		}},
		Target: &libvirtxml.DomainDiskTarget{Dev: dev, Bus: "virtio"},
		Serial: v.Serial,
	}
	return x.Marshal()
}

// volumesOf finds the disks by iSCSI in a domain's XML, by serial, and the first
// free name for another.
func volumesOf(s string) (map[string]libvirtxml.DomainDisk, string, error) {
	var x libvirtxml.Domain
	if err := x.Unmarshal(s); err != nil {
		return nil, "", err
	}
	taken := map[string]bool{}
	out := map[string]libvirtxml.DomainDisk{}
	if x.Devices != nil {
		for _, k := range x.Devices.Disks {
			if k.Target != nil {
				taken[k.Target.Dev] = true
			}
			if k.Source != nil && k.Source.Network != nil {
				out[k.Serial] = k
			}
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		if dev := "vd" + string(c); !taken[dev] {
			return out, dev, nil
		}
	}
	return out, "", errors.New("the domain has all the disks that have names")
}

// filesystems is the guest's answer to guest-get-fsinfo (QEMU Guest Agent
// Protocol Reference).
type filesystems struct {
	Return []struct {
		Mountpoint string `json:"mountpoint"`
		Disk       []struct {
			Serial string `json:"serial"`
		} `json:"disk"`
	} `json:"return"`
}

// mountOf finds where a disk is mounted, "" when it is not.
func mountOf(answer, serial string) (string, error) {
	var f filesystems
	if err := json.Unmarshal([]byte(answer), &f); err != nil {
		return "", fmt.Errorf("the guest's answer cannot be read: %w", err)
	}
	for _, fs := range f.Return {
		for _, k := range fs.Disk {
			if k.Serial == serial {
				return fs.Mountpoint, nil
			}
		}
	}
	return "", nil
}
