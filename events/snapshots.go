package events

import "time"

// Commands and events of snapshots, and of what volumes are changed to.
//
//	requested ─▶ completed        the storage node holds it, whole
//	    │
//	    └──────▶ erred            it cannot; completed when it can after all
//
// A snapshot stays on the storage node of its volume. One that is copied from
// another region has no node until its bytes can come.

// BlockDevice says what an instance has under one device name ("Block device
// mappings"): a disk of its instance store, a volume that is made with it, or
// nothing.
type BlockDevice struct {
	Device     string     `json:"device"`            // /dev/sda1
	Virtual    string     `json:"virtual,omitempty"` // ephemeral0
	NoDevice   bool       `json:"noDevice,omitempty"`
	Snapshot   SnapshotID `json:"snapshot,omitempty"`
	SizeGiB    int        `json:"sizeGiB,omitempty"` // 0: the snapshot's
	Type       string     `json:"type,omitempty"`    // gp2 when empty
	IOPS       int        `json:"iops,omitempty"`
	Throughput int        `json:"throughput,omitempty"`
	Keep       *bool      `json:"keep,omitempty"` // when the instance ends; nil: no
	Encrypted  bool       `json:"encrypted,omitempty"`
}

// CreateSnapshot keeps what a volume holds.
type CreateSnapshot struct {
	Volume      VolumeID `json:"volume"`
	Description string   `json:"description,omitempty"`
	Tags        []Tag    `json:"tags,omitempty"`
}

// CopySnapshot makes a snapshot of a snapshot that the caller may read.
type CopySnapshot struct {
	Snapshot    SnapshotID `json:"snapshot"`
	Description string     `json:"description,omitempty"`
	Tags        []Tag      `json:"tags,omitempty"`

	Far *FarSnapshot `json:"far,omitempty"` // the snapshot, when it is of another region
}

// DeleteSnapshot ends a snapshot that no image is made of.
type DeleteSnapshot struct {
	Snapshot SnapshotID `json:"snapshot"`
}

// ModifySnapshot changes who may make volumes of it.
type ModifySnapshot struct {
	Snapshot SnapshotID  `json:"snapshot"`
	Public   *bool       `json:"public,omitempty"`
	Add      []AccountID `json:"add,omitempty"`
	Remove   []AccountID `json:"remove,omitempty"`
	Reset    bool        `json:"reset,omitempty"` // back to the owner alone
}

// ReportSnapshot is what a storage node sees of a snapshot.
type ReportSnapshot struct {
	Host     HostID        `json:"host"`
	Snapshot SnapshotID    `json:"snapshot"`
	Phase    SnapshotPhase `json:"phase"`
	Detail   string        `json:"detail,omitempty"`
}

// ModifyVolume changes size, type or performance of a volume; zero leaves what
// the volume has, or takes what its new type gives.
type ModifyVolume struct {
	Volume     VolumeID `json:"volume"`
	SizeGiB    int      `json:"sizeGiB,omitempty"`
	Type       string   `json:"type,omitempty"`
	IOPS       int      `json:"iops,omitempty"`
	Throughput int      `json:"throughput,omitempty"`
}

// SetVolumeAutoIO says whether a volume whose blocks are doubted is used again
// without being asked.
type SetVolumeAutoIO struct {
	Volume VolumeID `json:"volume"`
	AutoIO bool     `json:"autoIO"`
}

// SnapshotRequested is a snapshot that its storage node has to make.
type SnapshotRequested struct {
	ID          SnapshotID `json:"id"`
	Account     AccountID  `json:"account"`
	Zone        Zone       `json:"zone"` // of its storage node
	Host        HostID     `json:"host"`
	Volume      VolumeID   `json:"volume,omitempty"`
	Source      SnapshotID `json:"source,omitempty"` // of a copy
	SizeGiB     int        `json:"sizeGiB"`
	Description string     `json:"description,omitempty"`
	ClientToken string     `json:"clientToken,omitempty"`
	At          time.Time  `json:"at"`

	SourceRegion string `json:"sourceRegion,omitempty"` // of a copy from another region, which has no host
}

// SnapshotCompleted is the storage node's word that it holds a snapshot.
type SnapshotCompleted struct {
	ID   SnapshotID `json:"id"`
	Zone Zone       `json:"zone"`
	At   time.Time  `json:"at"`
}

// SnapshotErred says that a snapshot cannot be held.
type SnapshotErred struct {
	ID     SnapshotID `json:"id"`
	Zone   Zone       `json:"zone"`
	Detail string     `json:"detail"`
}

// SnapshotChanged carries who may make volumes of a snapshot.
type SnapshotChanged struct {
	ID       SnapshotID  `json:"id"`
	Zone     Zone        `json:"zone"`
	Public   bool        `json:"public"`
	Accounts []AccountID `json:"accounts,omitempty"`
}

// SnapshotDeleteRequested takes a snapshot off the list and puts a tombstone for
// it on its storage node.
type SnapshotDeleteRequested struct {
	ID   SnapshotID `json:"id"`
	Zone Zone       `json:"zone"`
	Host HostID     `json:"host"`
	At   time.Time  `json:"at"`
}

// SnapshotDeleted ends it.
type SnapshotDeleted struct {
	ID   SnapshotID `json:"id"`
	Zone Zone       `json:"zone"`
	Host HostID     `json:"host"`
}

// VolumeModificationRequested changes what a volume is. Its storage node holds it
// when it reports the revision.
type VolumeModificationRequested struct {
	Volume     VolumeID  `json:"volume"`
	Zone       Zone      `json:"zone"`
	Revision   uint64    `json:"revision"`
	SizeGiB    int       `json:"sizeGiB"`
	Type       string    `json:"type"`
	IOPS       int       `json:"iops,omitempty"`
	Throughput int       `json:"throughput,omitempty"`
	At         time.Time `json:"at"`
}

// VolumeModified is the storage node's word that it holds a volume as changed.
type VolumeModified struct {
	Volume   VolumeID  `json:"volume"`
	Zone     Zone      `json:"zone"`
	Revision uint64    `json:"revision"`
	At       time.Time `json:"at"`
}

// VolumeAutoIOSet carries it.
type VolumeAutoIOSet struct {
	Volume VolumeID `json:"volume"`
	Zone   Zone     `json:"zone"`
	AutoIO bool     `json:"autoIO"`
}

// VolumeKeepSet says whether a volume outlives the instance that has it.
type VolumeKeepSet struct {
	Volume     VolumeID     `json:"volume"`
	Zone       Zone         `json:"zone"`
	Attachment AttachmentID `json:"attachment"`
	Keep       bool         `json:"keep"`
}

// Service names the room that decides.
func (CreateSnapshot) Service() string  { return "storage" }
func (CopySnapshot) Service() string    { return "storage" }
func (DeleteSnapshot) Service() string  { return "storage" }
func (ModifySnapshot) Service() string  { return "storage" }
func (ReportSnapshot) Service() string  { return "storage" }
func (ModifyVolume) Service() string    { return "storage" }
func (SetVolumeAutoIO) Service() string { return "storage" }

func snapshotAbout(z Zone, id SnapshotID, verb string) About {
	return About{z, "storage", "snapshot", string(id), verb}
}

// About says of whom.
func (e SnapshotRequested) About() About { return snapshotAbout(e.Zone, e.ID, "requested") }
func (e SnapshotCompleted) About() About { return snapshotAbout(e.Zone, e.ID, "completed") }
func (e SnapshotErred) About() About     { return snapshotAbout(e.Zone, e.ID, "erred") }
func (e SnapshotChanged) About() About   { return snapshotAbout(e.Zone, e.ID, "changed") }
func (e SnapshotDeleteRequested) About() About {
	return snapshotAbout(e.Zone, e.ID, "delete-requested")
}
func (e SnapshotDeleted) About() About { return snapshotAbout(e.Zone, e.ID, "deleted") }
func (e VolumeModificationRequested) About() About {
	return volumeAbout(e.Zone, e.Volume, "modification-requested")
}
func (e VolumeModified) About() About  { return volumeAbout(e.Zone, e.Volume, "modified") }
func (e VolumeAutoIOSet) About() About { return volumeAbout(e.Zone, e.Volume, "auto-io-set") }
func (e VolumeKeepSet) About() About   { return volumeAbout(e.Zone, e.Volume, "keep-set") }

func init() {
	for _, c := range []Command{CreateSnapshot{}, CopySnapshot{}, DeleteSnapshot{}, ModifySnapshot{}, ReportSnapshot{},
		ModifyVolume{}, SetVolumeAutoIO{}} {
		commands.add(c)
	}
	for _, e := range []Event{SnapshotRequested{}, SnapshotCompleted{}, SnapshotErred{}, SnapshotChanged{}, SnapshotDeleteRequested{}, SnapshotDeleted{},
		VolumeModificationRequested{}, VolumeModified{}, VolumeAutoIOSet{}, VolumeKeepSet{}} {
		kinds.add(e)
	}
}
