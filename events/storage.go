package events

import "time"

// Commands and events of volumes.
//
//	requested ─▶ placed ─▶ available ◀──────────────── detached
//	                          │ attach-requested          ▲ the storage node: ready at the epoch
//	                          ▼                           │
//	                       attaching ─▶ attached ─▶ detaching ─▶ attachment-ended
//	                                                  the guest let go, or force
//
// The epoch rises with each change of who may write: at an attachment, at its
// end, and when the storage node starts anew. "Ready at epoch e" is the storage
// node's word that nothing of an older epoch can write any more.

// CreateVolume asks for a volume, empty or with the content of a snapshot ("CreateVolume" in the EC2 API reference).
type CreateVolume struct {
	Zone        Zone   `json:"zone"`
	SizeGiB     int    `json:"sizeGiB"`
	Type        string `json:"type,omitempty"` // gp2 when empty
	IOPS        int    `json:"iops,omitempty"`
	Throughput  int    `json:"throughput,omitempty"` // MiB/s
	Snapshot    string `json:"snapshot,omitempty"`
	Encrypted   bool   `json:"encrypted,omitempty"`
	MultiAttach bool   `json:"multiAttach,omitempty"`
	Tags        []Tag  `json:"tags,omitempty"`
}

// DeleteVolume ends a volume that is not attached.
type DeleteVolume struct {
	Volume VolumeID `json:"volume"`
}

// AttachVolume gives a volume to an instance of its zone under a device name.
type AttachVolume struct {
	Volume   VolumeID   `json:"volume"`
	Instance InstanceID `json:"instance"`
	Device   string     `json:"device"`
}

// DetachVolume takes it back: the guest lets go first, or with Force is cut off.
type DetachVolume struct {
	Volume   VolumeID   `json:"volume"`
	Instance InstanceID `json:"instance,omitempty"`
	Device   string     `json:"device,omitempty"`
	Force    bool       `json:"force,omitempty"`
}

// PlaceVolumes are a scheduler's proposals: where waiting volumes should be.
type PlaceVolumes struct {
	Placements []VolumePlacement `json:"placements"`
}

// VolumePlacement proposes a storage host for a volume.
type VolumePlacement struct {
	Volume VolumeID `json:"volume"`
	Host   HostID   `json:"host"`
	Why    Why      `json:"why"`
}

// ReportVolume is what a storage node sees of a volume. Boot is the node's own.
type ReportVolume struct {
	Host   HostID      `json:"host"`
	Volume VolumeID    `json:"volume"`
	Epoch  uint64      `json:"epoch"`
	Boot   string      `json:"boot"`
	Phase  VolumePhase `json:"phase"`
	Detail string      `json:"detail,omitempty"`

	Revision uint64 `json:"revision,omitempty"` // of the volume's size and kind that the node holds
}

// ReportDisk is what a compute node sees of an attached volume.
type ReportDisk struct {
	Host       HostID       `json:"host"`
	Instance   InstanceID   `json:"instance"`
	Volume     VolumeID     `json:"volume"`
	Attachment AttachmentID `json:"attachment"`
	Phase      DiskPhase    `json:"phase"`
	Detail     string       `json:"detail,omitempty"`
}

// VolumeRequested is a volume that waits for its place.
type VolumeRequested struct {
	ID          VolumeID  `json:"id"`
	Account     AccountID `json:"account"`
	Zone        Zone      `json:"zone"`
	SizeGiB     int       `json:"sizeGiB"`
	Type        string    `json:"type"`
	IOPS        int       `json:"iops,omitempty"`
	Throughput  int       `json:"throughput,omitempty"`
	ClientToken string    `json:"clientToken,omitempty"`
	At          time.Time `json:"at"`

	Snapshot SnapshotID `json:"snapshot,omitempty"` // whose content it starts with
}

// VolumePlaced gives a volume its storage node, for one incarnation of it.
type VolumePlaced struct {
	Volume VolumeID `json:"volume"`
	Zone   Zone     `json:"zone"`
	Host   HostID   `json:"host"`
	Boot   string   `json:"boot"`
	Epoch  uint64   `json:"epoch"`
	Why    Why      `json:"why"`
}

// VolumeConfirmed is the storage node's word for an epoch.
type VolumeConfirmed struct {
	Volume VolumeID `json:"volume"`
	Zone   Zone     `json:"zone"`
	Host   HostID   `json:"host"`
	Epoch  uint64   `json:"epoch"`
}

// VolumeAvailable makes a new volume usable, or one that was in error.
type VolumeAvailable struct {
	Volume VolumeID `json:"volume"`
	Zone   Zone     `json:"zone"`
}

// VolumeErred says that a volume cannot be held.
type VolumeErred struct {
	Volume VolumeID `json:"volume"`
	Zone   Zone     `json:"zone"`
	Detail string   `json:"detail"`
}

// VolumeEpochRaised follows a new incarnation of the storage node.
type VolumeEpochRaised struct {
	Volume VolumeID `json:"volume"`
	Zone   Zone     `json:"zone"`
	Host   HostID   `json:"host"`
	Boot   string   `json:"boot"`
	Epoch  uint64   `json:"epoch"`
}

// VolumeAttachRequested lets one instance in.
type VolumeAttachRequested struct {
	Volume              VolumeID     `json:"volume"`
	Zone                Zone         `json:"zone"`
	Instance            InstanceID   `json:"instance"`
	Attachment          AttachmentID `json:"attachment"`
	Device              string       `json:"device"`
	Epoch               uint64       `json:"epoch"`
	DeleteOnTermination bool         `json:"deleteOnTermination,omitempty"`
	At                  time.Time    `json:"at"`
}

// VolumeAttached is the compute node's word that the guest has it.
type VolumeAttached struct {
	Volume     VolumeID     `json:"volume"`
	Zone       Zone         `json:"zone"`
	Instance   InstanceID   `json:"instance"`
	Attachment AttachmentID `json:"attachment"`
	At         time.Time    `json:"at"`
}

// VolumeDetachRequested asks the guest to let go.
type VolumeDetachRequested struct {
	Volume     VolumeID     `json:"volume"`
	Zone       Zone         `json:"zone"`
	Instance   InstanceID   `json:"instance"`
	Attachment AttachmentID `json:"attachment"`
	At         time.Time    `json:"at"`
}

// AttachmentEnded shuts the door on an instance: the guest let go, is gone, or
// is cut off. The volume is free when its storage node is ready at Epoch.
type AttachmentEnded struct {
	Volume     VolumeID     `json:"volume"`
	Zone       Zone         `json:"zone"`
	Instance   InstanceID   `json:"instance"`
	Attachment AttachmentID `json:"attachment"`
	Epoch      uint64       `json:"epoch"`
	Why        string       `json:"why"` // released, terminated, forced or failed: …
}

// VolumeDetached makes a volume available again.
type VolumeDetached struct {
	Volume     VolumeID     `json:"volume"`
	Zone       Zone         `json:"zone"`
	Instance   InstanceID   `json:"instance"`
	Attachment AttachmentID `json:"attachment"`
	At         time.Time    `json:"at"`
}

// VolumeDeleteRequested puts a tombstone for the volume on its storage node.
type VolumeDeleteRequested struct {
	Volume VolumeID  `json:"volume"`
	Zone   Zone      `json:"zone"`
	Host   HostID    `json:"host,omitempty"`
	At     time.Time `json:"at"`
}

// VolumeDeleted ends it.
type VolumeDeleted struct {
	Volume VolumeID `json:"volume"`
	Zone   Zone     `json:"zone"`
	Host   HostID   `json:"host,omitempty"`
}

// Service names the room that decides.
func (CreateVolume) Service() string { return "storage" }
func (DeleteVolume) Service() string { return "storage" }
func (AttachVolume) Service() string { return "storage" }
func (DetachVolume) Service() string { return "storage" }
func (PlaceVolumes) Service() string { return "storage" }
func (ReportVolume) Service() string { return "storage" }
func (ReportDisk) Service() string   { return "storage" }

func volumeAbout(z Zone, id VolumeID, verb string) About {
	return About{z, "storage", "volume", string(id), verb}
}

// About says of whom.
func (e VolumeRequested) About() About   { return volumeAbout(e.Zone, e.ID, "requested") }
func (e VolumePlaced) About() About      { return volumeAbout(e.Zone, e.Volume, "placed") }
func (e VolumeConfirmed) About() About   { return volumeAbout(e.Zone, e.Volume, "confirmed") }
func (e VolumeAvailable) About() About   { return volumeAbout(e.Zone, e.Volume, "available") }
func (e VolumeErred) About() About       { return volumeAbout(e.Zone, e.Volume, "erred") }
func (e VolumeEpochRaised) About() About { return volumeAbout(e.Zone, e.Volume, "epoch-raised") }
func (e VolumeAttachRequested) About() About {
	return volumeAbout(e.Zone, e.Volume, "attach-requested")
}
func (e VolumeAttached) About() About { return volumeAbout(e.Zone, e.Volume, "attached") }
func (e VolumeDetachRequested) About() About {
	return volumeAbout(e.Zone, e.Volume, "detach-requested")
}
func (e AttachmentEnded) About() About { return volumeAbout(e.Zone, e.Volume, "attachment-ended") }
func (e VolumeDetached) About() About  { return volumeAbout(e.Zone, e.Volume, "detached") }
func (e VolumeDeleteRequested) About() About {
	return volumeAbout(e.Zone, e.Volume, "delete-requested")
}
func (e VolumeDeleted) About() About { return volumeAbout(e.Zone, e.Volume, "deleted") }

func init() {
	for _, c := range []Command{CreateVolume{}, DeleteVolume{}, AttachVolume{}, DetachVolume{}, PlaceVolumes{}, ReportVolume{}, ReportDisk{}} {
		commands.add(c)
	}
	for _, e := range []Event{VolumeRequested{}, VolumePlaced{}, VolumeConfirmed{}, VolumeAvailable{}, VolumeErred{}, VolumeEpochRaised{},
		VolumeAttachRequested{}, VolumeAttached{}, VolumeDetachRequested{}, AttachmentEnded{}, VolumeDetached{}, VolumeDeleteRequested{}, VolumeDeleted{}} {
		kinds.add(e)
	}
}
