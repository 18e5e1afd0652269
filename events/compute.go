package events

import "time"

// Commands and events of images, key pairs and instances.

// Image is an AMI, AKI or ARI ("Amazon Machine Images in Amazon EC2").
type Image struct {
	ID             ImageID     `json:"id"`
	Account        AccountID   `json:"account"`
	OwnerAlias     string      `json:"ownerAlias,omitempty"` // amazon for the region's own
	Name           string      `json:"name"`
	Description    string      `json:"description,omitempty"`
	Location       string      `json:"location"` // amazon/skerry-linux
	Type           string      `json:"type"`     // machine, kernel or ramdisk
	Architecture   string      `json:"architecture"`
	Virtualization string      `json:"virtualization,omitempty"` // paravirtual or hvm
	Public         bool        `json:"public"`
	LaunchAccounts []AccountID `json:"launchAccounts,omitempty"`
	Kernel         ImageID     `json:"kernel,omitempty"`
	Ramdisk        ImageID     `json:"ramdisk,omitempty"`
	RootDevice     string      `json:"rootDevice,omitempty"`     // /dev/sda1
	RootDeviceType string      `json:"rootDeviceType,omitempty"` // instance-store, or ebs with a mapping of the root device
	File           ImageFile   `json:"file"`
	Cmdline        string      `json:"cmdline,omitempty"`
	At             time.Time   `json:"at,omitzero"`

	Mappings []BlockDevice `json:"mappings,omitempty"` // what instances start with beside the files

	Source       ImageID `json:"source,omitempty"`       // of a copy from another region
	SourceRegion string  `json:"sourceRegion,omitempty"` // where that is
	Absent       bool    `json:"absent,omitempty"`       // its files are not in this region yet
}

// RegisterImage makes an image from files that the region holds. The id is
// drawn unless given.
type RegisterImage struct {
	Image Image `json:"image"`
}

// DeregisterImage takes an image out of the catalogue; what runs keeps running.
type DeregisterImage struct {
	Image ImageID `json:"image"`
}

// CreateImage makes an image of an instance whose root is a volume: of snapshots
// of its volumes. The guest reboots for it, unless NoReboot.
type CreateImage struct {
	Instance     InstanceID    `json:"instance"`
	Name         string        `json:"name"`
	Description  string        `json:"description,omitempty"`
	NoReboot     bool          `json:"noReboot,omitempty"`
	Mappings     []BlockDevice `json:"mappings,omitempty"` // over the instance's own
	Tags         []Tag         `json:"tags,omitempty"`
	SnapshotTags []Tag         `json:"snapshotTags,omitempty"`
}

// CopyImage makes an image of one that the caller may launch, with snapshots of
// its own.
type CopyImage struct {
	Image        ImageID `json:"image"`
	Name         string  `json:"name"`
	Description  string  `json:"description,omitempty"`
	CopyTags     bool    `json:"copyTags,omitempty"`
	Tags         []Tag   `json:"tags,omitempty"`
	SnapshotTags []Tag   `json:"snapshotTags,omitempty"`

	Far *FarImage `json:"far,omitempty"` // the image, when it is of another region
}

// ModifyImage changes who may launch an image, or its description.
type ModifyImage struct {
	Image       ImageID     `json:"image"`
	Public      *bool       `json:"public,omitempty"`
	Add         []AccountID `json:"add,omitempty"`
	Remove      []AccountID `json:"remove,omitempty"`
	Reset       bool        `json:"reset,omitempty"` // launch permission back to the owner alone
	Description *string     `json:"description,omitempty"`
}

// ImageRegistered makes an image available.
type ImageRegistered struct {
	Image Image `json:"image"`
}

// ImageChanged carries the image's new permissions and description.
type ImageChanged struct {
	ID             ImageID     `json:"id"`
	Public         bool        `json:"public"`
	LaunchAccounts []AccountID `json:"launchAccounts,omitempty"`
	Description    string      `json:"description,omitempty"`
}

// ImageDeregistered ends an image.
type ImageDeregistered struct {
	ID ImageID `json:"id"`
}

// ImportKeyPair stores the public half of a key. CreateKeyPair at the API draws
// the pair at the door and imports the public half: the region never sees the
// private one.
type ImportKeyPair struct {
	Name        string `json:"name"`
	Type        string `json:"type"`      // rsa or ed25519
	PublicKey   string `json:"publicKey"` // one OpenSSH line
	Fingerprint string `json:"fingerprint"`
	Tags        []Tag  `json:"tags,omitempty"`
}

// DeleteKeyPair forgets a key; deleting one that is not there succeeds, as at AWS.
type DeleteKeyPair struct {
	Name string    `json:"name,omitempty"`
	ID   KeyPairID `json:"id,omitempty"`
}

// KeyPairCreated is a public key under a name.
type KeyPairCreated struct {
	ID          KeyPairID `json:"id"`
	Account     AccountID `json:"account"`
	Name        string    `json:"name"`
	Type        string    `json:"type"`
	PublicKey   string    `json:"publicKey"`
	Fingerprint string    `json:"fingerprint"`
	At          time.Time `json:"at"`
}

// KeyPairDeleted forgets it.
type KeyPairDeleted struct {
	ID      KeyPairID `json:"id"`
	Account AccountID `json:"account"`
	Name    string    `json:"name"`
}

// RunInstances asks for Min to Max instances, all or nothing below Min.
type RunInstances struct {
	Image              ImageID         `json:"image"`
	Type               string          `json:"type,omitempty"` // m1.small when empty
	Min                int             `json:"min"`
	Max                int             `json:"max"`
	Zone               Zone            `json:"zone,omitempty"`
	Subnet             SubnetID        `json:"subnet,omitempty"`
	PrivateIP          string          `json:"privateIp,omitempty"`
	KeyName            string          `json:"keyName,omitempty"`
	Groups             []GroupID       `json:"groups,omitempty"`
	GroupNames         []string        `json:"groupNames,omitempty"`
	PublicIP           *bool           `json:"publicIp,omitempty"` // nil: as the subnet says
	Kernel             ImageID         `json:"kernel,omitempty"`
	Ramdisk            ImageID         `json:"ramdisk,omitempty"`
	UserData           []byte          `json:"userData,omitempty"` // sealed at the door with the region's key
	Shutdown           string          `json:"shutdown,omitempty"` // terminate or stop
	DisableTermination bool            `json:"disableTermination,omitempty"`
	Metadata           MetadataOptions `json:"metadata,omitzero"`
	Tags               []Tag           `json:"tags,omitempty"`
	InterfaceTags      []Tag           `json:"interfaceTags,omitempty"`

	Interfaces []LaunchInterface `json:"interfaces,omitempty"` // none: one, as the fields above and Addresses say
	Addresses  Wanted            `json:"addresses,omitzero"`
	Hostname   string            `json:"hostname,omitempty"` // ip-name or resource-name; empty: as the subnet says

	VolumeTags   []Tag         `json:"volumeTags,omitempty"`
	Mappings     []BlockDevice `json:"mappings,omitempty"` // over those of the image, by device
	DisableStop  bool          `json:"disableStop,omitempty"`
	EBSOptimized *bool         `json:"ebsOptimized,omitempty"` // nil: as the type has it
	Monitoring   bool          `json:"monitoring,omitempty"`
	Group        string        `json:"group,omitempty"` // placement group, by name or id
	Partition    int           `json:"partition,omitempty"`
	Credits      string        `json:"credits,omitempty"`  // standard or unlimited
	Template     TemplateID    `json:"template,omitempty"` // whose parameters these are in part
	Version      uint64        `json:"version,omitempty"`  // of it
}

// StartInstances starts stopped instances.
type StartInstances struct {
	Instances []InstanceID `json:"instances"`
}

// StopInstances stops instances whose root is a volume.
type StopInstances struct {
	Instances []InstanceID `json:"instances"`
	Force     bool         `json:"force,omitempty"`
}

// RebootInstances presses the button.
type RebootInstances struct {
	Instances []InstanceID `json:"instances"`
}

// TerminateInstances ends instances.
type TerminateInstances struct {
	Instances []InstanceID `json:"instances"`
}

// ModifyInstance changes attributes; nil leaves one as it is.
type ModifyInstance struct {
	Instance           InstanceID       `json:"instance"`
	DisableTermination *bool            `json:"disableTermination,omitempty"`
	Shutdown           *string          `json:"shutdown,omitempty"`
	UserData           *[]byte          `json:"userData,omitempty"`
	Type               *string          `json:"type,omitempty"`
	SourceDestCheck    *bool            `json:"sourceDestCheck,omitempty"`
	Groups             []GroupID        `json:"groups,omitempty"`
	Metadata           *MetadataOptions `json:"metadata,omitempty"`

	DisableStop  *bool         `json:"disableStop,omitempty"`
	EBSOptimized *bool         `json:"ebsOptimized,omitempty"`
	Monitoring   *bool         `json:"monitoring,omitempty"`
	Credits      *string       `json:"credits,omitempty"`
	Kernel       *ImageID      `json:"kernel,omitempty"`  // empty: the image's
	Ramdisk      *ImageID      `json:"ramdisk,omitempty"` // the same
	Devices      []BlockDevice `json:"devices,omitempty"` // what Keep says of the volume at Device
}

// ModifyInstances changes the same of several instances, all or none.
type ModifyInstances struct {
	Instances []InstanceID   `json:"instances"`
	Change    ModifyInstance `json:"change"`
}

// Placement is one proposal of the scheduler. No host means that none fits.
type Placement struct {
	Instance InstanceID `json:"instance"`
	Host     HostID     `json:"host,omitempty"`
	Why      Why        `json:"why"`
}

// PlaceInstances proposes hosts; the region takes what is still true.
type PlaceInstances struct {
	Basis      uint64      `json:"basis"`
	Placements []Placement `json:"placements"`
}

// ReportInstance is what a compute node sees of a guest.
type ReportInstance struct {
	Host       HostID     `json:"host"`
	Instance   InstanceID `json:"instance"`
	Generation uint64     `json:"generation"`
	Phase      Phase      `json:"phase"`
	Detail     string     `json:"detail,omitempty"`

	Order uint64 `json:"order,omitempty"` // number of the order to destroy that PhaseAbsent answers; 0 from a node that does not tell
}

// InstanceRequested makes an instance pending, its capacity reserved in its zone.
type InstanceRequested struct {
	ID                 InstanceID      `json:"id"`
	Reservation        ReservationID   `json:"reservation"`
	LaunchIndex        int             `json:"launchIndex"`
	Account            AccountID       `json:"account"`
	Zone               Zone            `json:"zone"`
	Image              ImageID         `json:"image"`
	Kernel             ImageID         `json:"kernel,omitempty"`
	Ramdisk            ImageID         `json:"ramdisk,omitempty"`
	KernelFile         ImageFile       `json:"kernelFile"`
	RamdiskFile        ImageFile       `json:"ramdiskFile"`
	RootFile           ImageFile       `json:"rootFile"`
	Cmdline            string          `json:"cmdline"`
	RootDevice         string          `json:"rootDevice"`
	RootDeviceType     string          `json:"rootDeviceType"`
	Architecture       string          `json:"architecture"`
	Virtualization     string          `json:"virtualization"`
	Shape              Shape           `json:"shape"`
	Need               Need            `json:"need"`
	KeyName            string          `json:"keyName,omitempty"`
	PublicKey          string          `json:"publicKey,omitempty"`
	Interfaces         []Interface     `json:"interfaces"`
	UserData           []byte          `json:"userData,omitempty"` // sealed
	Shutdown           string          `json:"shutdown"`
	DisableTermination bool            `json:"disableTermination,omitempty"`
	Metadata           MetadataOptions `json:"metadata"`
	ClientToken        string          `json:"clientToken,omitempty"`
	At                 time.Time       `json:"at"`
	Hostname           string          `json:"hostname,omitempty"` // resource-name, or after the address

	DisableStop  bool        `json:"disableStop,omitempty"`
	EBSOptimized bool        `json:"ebsOptimized,omitempty"`
	Monitoring   bool        `json:"monitoring,omitempty"`
	Credits      string      `json:"credits,omitempty"`
	Group        PlacementID `json:"group,omitempty"`
	Partition    int         `json:"partition,omitempty"`
}

// InstancePlaced gives an instance its host and says why.
type InstancePlaced struct {
	Instance InstanceID `json:"instance"`
	Zone     Zone       `json:"zone"`
	Host     HostID     `json:"host"`
	Why      Why        `json:"why"`
}

// InstanceStarted makes an instance running.
type InstanceStarted struct {
	Instance InstanceID `json:"instance"`
	Zone     Zone       `json:"zone"`
	Host     HostID     `json:"host"`
	At       time.Time  `json:"at"`
}

// InstanceRebootRequested raises the number of reboots asked for.
type InstanceRebootRequested struct {
	Instance InstanceID `json:"instance"`
	Zone     Zone       `json:"zone"`
	Reboots  uint64     `json:"reboots"`
}

// InstanceTerminationRequested makes an instance shutting-down and puts a
// tombstone for its guest on its host.
type InstanceTerminationRequested struct {
	Instance   InstanceID `json:"instance"`
	Zone       Zone       `json:"zone"`
	Host       HostID     `json:"host,omitempty"`
	From       string     `json:"from"` // state before
	Reason     Reason     `json:"reason"`
	Transition string     `json:"transition"` // User initiated (2026-11-20 18:58:56 GMT)
	At         time.Time  `json:"at"`
}

// InstanceTerminated ends an instance; it stays listed for an hour.
type InstanceTerminated struct {
	Instance   InstanceID `json:"instance"`
	Zone       Zone       `json:"zone"`
	From       string     `json:"from"`
	Reason     Reason     `json:"reason"`
	Transition string     `json:"transition"`
	At         time.Time  `json:"at"`
}

// GuestRemoved is a node's word that nothing is left of a guest: its tombstone goes.
type GuestRemoved struct {
	Instance InstanceID `json:"instance"`
	Zone     Zone       `json:"zone"`
	Host     HostID     `json:"host"`
}

// GuestUnexpected is a guest that a host holds and should not: the region has
// ended it, or never put it there. It gets a tombstone.
type GuestUnexpected struct {
	Instance InstanceID `json:"instance"`
	Zone     Zone       `json:"zone"`
	Host     HostID     `json:"host"`
}

// InstanceForgotten takes a terminated instance off the list.
type InstanceForgotten struct {
	Instance InstanceID `json:"instance"`
	Zone     Zone       `json:"zone"`
}

// InstanceModified carries changed attributes; nil leaves one as it is.
type InstanceModified struct {
	Instance           InstanceID       `json:"instance"`
	Zone               Zone             `json:"zone"`
	DisableTermination *bool            `json:"disableTermination,omitempty"`
	Shutdown           *string          `json:"shutdown,omitempty"`
	UserData           *[]byte          `json:"userData,omitempty"`
	SourceDestCheck    *bool            `json:"sourceDestCheck,omitempty"`
	Groups             []GroupID        `json:"groups,omitempty"`
	Metadata           *MetadataOptions `json:"metadata,omitempty"`

	DisableStop  *bool     `json:"disableStop,omitempty"`
	EBSOptimized *bool     `json:"ebsOptimized,omitempty"`
	Monitoring   *bool     `json:"monitoring,omitempty"`
	Credits      *string   `json:"credits,omitempty"`
	Shape        *Shape    `json:"shape,omitempty"` // with Need
	Need         *Need     `json:"need,omitempty"`
	Kernel       *BootFile `json:"kernel,omitempty"`
	Ramdisk      *BootFile `json:"ramdisk,omitempty"`
}

// BootFile is an image that a guest boots from, and its file.
type BootFile struct {
	Image ImageID   `json:"image,omitempty"`
	File  ImageFile `json:"file,omitzero"`
}

// InstanceStopRequested makes an instance stopping, and puts a tombstone for its
// guest on its host: of a guest whose root is a volume nothing else is to be kept.
type InstanceStopRequested struct {
	Instance   InstanceID `json:"instance"`
	Zone       Zone       `json:"zone"`
	Host       HostID     `json:"host"`
	From       string     `json:"from"` // state before
	Reason     Reason     `json:"reason"`
	Transition string     `json:"transition"`
	At         time.Time  `json:"at"`
}

// InstanceStopped gives the capacity of an instance back: nothing of its guest is
// left, and it has no host.
type InstanceStopped struct {
	Instance   InstanceID `json:"instance"`
	Zone       Zone       `json:"zone"`
	Host       HostID     `json:"host,omitempty"` // that it had
	Reason     Reason     `json:"reason"`
	Transition string     `json:"transition"`
	At         time.Time  `json:"at"`
}

// InstanceStartRequested makes a stopped instance pending, its capacity reserved
// in its zone.
type InstanceStartRequested struct {
	Instance   InstanceID `json:"instance"`
	Zone       Zone       `json:"zone"`
	Generation uint64     `json:"generation"`
	From       string     `json:"from"` // state before
	At         time.Time  `json:"at"`
}

// Service names the room that decides.
func (RegisterImage) Service() string      { return "compute" }
func (DeregisterImage) Service() string    { return "compute" }
func (ModifyImage) Service() string        { return "compute" }
func (CreateImage) Service() string        { return "compute" }
func (CopyImage) Service() string          { return "compute" }
func (ImportKeyPair) Service() string      { return "compute" }
func (DeleteKeyPair) Service() string      { return "compute" }
func (RunInstances) Service() string       { return "compute" }
func (StartInstances) Service() string     { return "compute" }
func (StopInstances) Service() string      { return "compute" }
func (RebootInstances) Service() string    { return "compute" }
func (TerminateInstances) Service() string { return "compute" }
func (ModifyInstance) Service() string     { return "compute" }
func (ModifyInstances) Service() string    { return "compute" }
func (PlaceInstances) Service() string     { return "compute" }
func (ReportInstance) Service() string     { return "compute" }

func instanceAbout(z Zone, id InstanceID, verb string) About {
	return About{z, "compute", "instance", string(id), verb}
}

// About says of whom.
func (e ImageRegistered) About() About {
	return About{"", "compute", "image", string(e.Image.ID), "registered"}
}
func (e ImageChanged) About() About { return About{"", "compute", "image", string(e.ID), "changed"} }
func (e ImageDeregistered) About() About {
	return About{"", "compute", "image", string(e.ID), "deregistered"}
}
func (e KeyPairCreated) About() About {
	return About{"", "compute", "key-pair", string(e.ID), "created"}
}
func (e KeyPairDeleted) About() About {
	return About{"", "compute", "key-pair", string(e.ID), "deleted"}
}
func (e InstanceRequested) About() About { return instanceAbout(e.Zone, e.ID, "requested") }
func (e InstancePlaced) About() About    { return instanceAbout(e.Zone, e.Instance, "placed") }
func (e InstanceStarted) About() About   { return instanceAbout(e.Zone, e.Instance, "started") }
func (e InstanceRebootRequested) About() About {
	return instanceAbout(e.Zone, e.Instance, "reboot-requested")
}
func (e InstanceTerminationRequested) About() About {
	return instanceAbout(e.Zone, e.Instance, "termination-requested")
}
func (e InstanceTerminated) About() About { return instanceAbout(e.Zone, e.Instance, "terminated") }
func (e GuestRemoved) About() About       { return instanceAbout(e.Zone, e.Instance, "guest-removed") }
func (e GuestUnexpected) About() About    { return instanceAbout(e.Zone, e.Instance, "guest-unexpected") }
func (e InstanceForgotten) About() About  { return instanceAbout(e.Zone, e.Instance, "forgotten") }
func (e InstanceStopRequested) About() About {
	return instanceAbout(e.Zone, e.Instance, "stop-requested")
}
func (e InstanceStopped) About() About { return instanceAbout(e.Zone, e.Instance, "stopped") }
func (e InstanceStartRequested) About() About {
	return instanceAbout(e.Zone, e.Instance, "start-requested")
}
func (e InstanceModified) About() About { return instanceAbout(e.Zone, e.Instance, "modified") }

func init() {
	for _, c := range []Command{RegisterImage{}, DeregisterImage{}, ModifyImage{}, CreateImage{}, CopyImage{}, ImportKeyPair{}, DeleteKeyPair{}, RunInstances{},
		StartInstances{}, StopInstances{}, RebootInstances{}, TerminateInstances{}, ModifyInstance{}, ModifyInstances{}, PlaceInstances{}, ReportInstance{}} {
		commands.add(c)
	}
	for _, e := range []Event{ImageRegistered{}, ImageChanged{}, ImageDeregistered{}, KeyPairCreated{}, KeyPairDeleted{},
		InstanceRequested{}, InstancePlaced{}, InstanceStarted{}, InstanceRebootRequested{}, InstanceTerminationRequested{},
		InstanceTerminated{}, GuestRemoved{}, GuestUnexpected{}, InstanceForgotten{}, InstanceModified{},
		InstanceStopRequested{}, InstanceStopped{}, InstanceStartRequested{}} {
		kinds.add(e)
	}
}
