package ec2

import (
	"slices"
	"strings"
	"testing"
)

// The forms that euca2ools sends, as they are on the wire: an old version, groups
// by name, old spellings. Each line is a request; replies are read as it reads
// them.
func TestEuca2ools(t *testing.T) {
	w := newWorld(t)
	send := func(version, form string) *node {
		t.Helper()
		var params []string
		for _, pair := range strings.Split(form, "&")[1:] {
			name, v, _ := strings.Cut(pair, "=")
			params = append(params, name, v)
		}
		action, _, _ := strings.Cut(form, "&")
		status, text := w.call(alice, action, append(params, "Version", version)...)
		if status != 200 {
			t.Fatalf("%s: %d %s", form, status, text)
		}
		if !strings.Contains(text, `xmlns="http://ec2.amazonaws.com/doc/`+version+`/"`) {
			t.Errorf("%s: %s", form, text)
		}
		return w.parse(text)
	}
	for _, version := range []string{"2009-11-30", "2011-02-28", "2013-02-01", "2014-06-15", "2015-10-01"} {
		name := "web-" + version
		// euca-create-group -d, euca-authorize -P tcp -p 22 -s 0.0.0.0/0, -o GROUP, -P icmp -t -1:-1
		if id := send(version, "CreateSecurityGroup&GroupName="+name+"&GroupDescription=my web").text("groupId"); !strings.HasPrefix(id, "sg-") {
			t.Error(id)
		}
		for _, form := range []string{
			"IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
			"IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=65535&IpPermissions.1.Groups.1.GroupName=default",
			"IpPermissions.1.IpProtocol=udp&IpPermissions.1.FromPort=53&IpPermissions.1.ToPort=53&IpPermissions.1.Groups.1.GroupName=" + name + "&IpPermissions.1.Groups.1.UserId=" + alice,
			"IpProtocol=icmp&FromPort=-1&ToPort=-1&CidrIp=172.31.0.0/16",
			"SourceSecurityGroupName=" + name + "&SourceSecurityGroupOwnerId=" + alice,
		} {
			if got := send(version, "AuthorizeSecurityGroupIngress&GroupName="+name+"&"+form).text("return"); got != "true" {
				t.Error(form, got)
			}
		}
		g := send(version, "DescribeSecurityGroups&GroupName.1="+name).all("securityGroupInfo/item")
		if len(g) != 1 || g[0].text("groupDescription") != "my web" || len(g[0].all("ipPermissions/item")) != 6 || len(g[0].all("ipPermissionsEgress/item")) != 1 {
			t.Errorf("%+v", g)
		}
		send(version, "RevokeSecurityGroupIngress&GroupName="+name+"&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0")
		if got := send(version, "DescribeSecurityGroups&Filter.1.Name=group-name&Filter.1.Value.1="+name).texts("securityGroupInfo/item/ipPermissions/item/ipRanges/item/cidrIp"); !slices.Equal(got, []string{"172.31.0.0/16"}) {
			t.Error(got)
		}
		instance := send(version, "RunInstances&ImageId="+ami+"&MinCount=1&MaxCount=1&SecurityGroup.1="+name+"&InstanceType=m1.small&Placement.AvailabilityZone=isle-1a&Monitoring.Enabled=false").text("instancesSet/item/instanceId")
		w.place(t)
		w.report(t, instance, "running")

		volume := send(version, "CreateVolume&Size=1&AvailabilityZone=isle-1a").text("volumeId")
		w.placeVolumes(t)
		w.stored(t, volume, "ready")
		if got := send(version, "AttachVolume&VolumeId="+volume+"&InstanceId="+instance+"&Device=/dev/xvdb").text("status"); got != "attaching" {
			t.Error(got)
		}
		w.disk(t, volume, "attached")
		v := send(version, "DescribeVolumes&VolumeId.1="+volume).all("volumeSet/item")[0]
		if v.text("status") != "in-use" || v.text("attachmentSet/item/status") != "attached" || v.text("attachmentSet/item/instanceId") != instance {
			t.Errorf("%+v", v)
		}
		if got := send(version, "DetachVolume&VolumeId="+volume+"&Force=false").text("status"); got != "detaching" {
			t.Error(got)
		}
		w.disk(t, volume, "released")
		w.stored(t, volume, "ready")
		if got := send(version, "DeleteVolume&VolumeId="+volume).text("return"); got != "true" {
			t.Error(got)
		}

		ip := send(version, "AllocateAddress").text("publicIp")
		if got := send(version, "AssociateAddress&PublicIp="+ip+"&InstanceId="+instance).text("associationId"); got == "" {
			t.Error("no association")
		}
		if got := send(version, "DescribeAddresses&PublicIp.1="+ip).text("addressesSet/item/instanceId"); got != instance {
			t.Error(got)
		}
		send(version, "DisassociateAddress&PublicIp="+ip)
		if got := send(version, "ReleaseAddress&PublicIp="+ip).text("return"); got != "true" {
			t.Error(got)
		}
		send(version, "TerminateInstances&InstanceId.1="+instance)
		w.report(t, instance, "absent")
		if got := send(version, "DeleteSecurityGroup&GroupName="+name).text("return"); got != "true" {
			t.Error(got)
		}
	}
}
