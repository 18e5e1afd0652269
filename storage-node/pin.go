//go:build pin

package main

// The SCSI layer that the iSCSI driver will stand on: named here so that its
// version is kept.
import _ "github.com/gostor/gotgt/pkg/scsi"
