// The program sdk walks through a life on EC2 with the stock AWS SDK for Go, as
// a user of a region would: a network, an instance, a volume, and their end. It
// waits with the SDK's waiters, lists with its paginators and tells faults apart
// by its typed errors. It says what it did, and ends with 1 at the first step
// that is not as it should be.
//
//	sdk -endpoint http://127.0.0.1:8080 -region isle-1   (keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)
//
// It has a module of its own: with the SDK's package of EC2 it takes three minutes
// of CPU to compile, which no build of the programs should pay.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// patience is how long anything is waited for.
const patience = 5 * time.Minute

func main() {
	endpoint := flag.String("endpoint", "", "where the API is")
	region := flag.String("region", "isle-1", "the region's name")
	flag.Parse()
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(*region), config.WithBaseEndpoint(*endpoint),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), "")))
	if err == nil {
		err = walk(ctx, cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

// life is what a walk made so far.
type life struct {
	*ec2.Client
	vpc, subnet, group, image, instance, volume *string
	zone                                        string
}

func walk(ctx context.Context, cfg aws.Config) error {
	l := &life{Client: ec2.NewFromConfig(cfg)}
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"who am I, by a key and by a session", func(ctx context.Context) error { return identity(ctx, cfg) }},
		{"a network", l.network},
		{"a group with rules", l.rules},
		{"a way to an office, and back", l.vpn},
		{"an instance runs", l.launch},
		{"a volume is attached", l.attach},
		{"lists in pages", l.pages},
		{"faults by their codes", l.faults},
		{"everything ends", l.end},
	} {
		began := time.Now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("%-40s %s\n", s.name, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

func identity(ctx context.Context, cfg aws.Config) error {
	root, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return err
	}
	session, err := sts.NewFromConfig(cfg).GetSessionToken(ctx, nil)
	if err != nil {
		return err
	}
	c := session.Credentials
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	again, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return err
	}
	if len(*root.Account) != 12 || *again.Account != *root.Account || *again.Arn != *root.Arn {
		return fmt.Errorf("%s of %s, and in a session %s", *root.Arn, *root.Account, *again.Arn)
	}
	_, err = ec2.NewFromConfig(cfg).DescribeRegions(ctx, nil)
	return err
}

// tag is the name that everything of this walk has.
func tag(of types.ResourceType) []types.TagSpecification {
	return []types.TagSpecification{{ResourceType: of, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("sdk")}}}}
}

func (l *life) network(ctx context.Context) error {
	zones, err := l.DescribeAvailabilityZones(ctx, nil)
	if err != nil {
		return err
	}
	l.zone = *zones.AvailabilityZones[0].ZoneName
	vpc, err := l.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.7.0.0/16"), TagSpecifications: tag(types.ResourceTypeVpc)})
	if err != nil {
		return err
	}
	l.vpc = vpc.Vpc.VpcId
	if err := ec2.NewVpcAvailableWaiter(l).Wait(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{*l.vpc}}, patience); err != nil {
		return err
	}
	subnet, err := l.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: l.vpc, CidrBlock: aws.String("10.7.1.0/24"), AvailabilityZone: &l.zone, TagSpecifications: tag(types.ResourceTypeSubnet)})
	if err != nil {
		return err
	}
	l.subnet = subnet.Subnet.SubnetId
	return ec2.NewSubnetAvailableWaiter(l).Wait(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{*l.subnet}}, patience)
}

func (l *life) rules(ctx context.Context) error {
	group, err := l.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("sdk"), Description: aws.String("of the sdk"), VpcId: l.vpc})
	if err != nil {
		return err
	}
	l.group = group.GroupId
	in, err := l.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: l.group, IpPermissions: []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22),
		IpRanges: []types.IpRange{{CidrIp: aws.String("10.0.0.0/8"), Description: aws.String("ssh")}}, UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: l.group}}}}})
	if err != nil {
		return err
	}
	if len(in.SecurityGroupRules) != 2 || !*in.Return {
		return fmt.Errorf("%d rules were made, not 2", len(in.SecurityGroupRules))
	}
	groups, err := l.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*l.group}})
	if err != nil {
		return err
	}
	if p := groups.SecurityGroups[0].IpPermissions; len(p) != 1 || *p[0].IpRanges[0].Description != "ssh" || *p[0].UserIdGroupPairs[0].GroupId != *l.group {
		return fmt.Errorf("the group has %+v", p)
	}
	return nil
}

func (l *life) vpn(ctx context.Context) error {
	customer, err := l.CreateCustomerGateway(ctx, &ec2.CreateCustomerGatewayInput{Type: types.GatewayTypeIpsec1, IpAddress: aws.String("192.0.2.9"), TagSpecifications: tag(types.ResourceTypeCustomerGateway)})
	if err != nil {
		return err
	}
	gateway, err := l.CreateVpnGateway(ctx, &ec2.CreateVpnGatewayInput{Type: types.GatewayTypeIpsec1, TagSpecifications: tag(types.ResourceTypeVpnGateway)})
	if err != nil {
		return err
	}
	from, to := gateway.VpnGateway.VpnGatewayId, customer.CustomerGateway.CustomerGatewayId
	if _, err := l.AttachVpnGateway(ctx, &ec2.AttachVpnGatewayInput{VpnGatewayId: from, VpcId: l.vpc}); err != nil {
		return err
	}
	made, err := l.CreateVpnConnection(ctx, &ec2.CreateVpnConnectionInput{Type: aws.String("ipsec.1"), CustomerGatewayId: to, VpnGatewayId: from, TagSpecifications: tag(types.ResourceTypeVpnConnection),
		Options: &types.VpnConnectionOptionsSpecification{StaticRoutesOnly: aws.Bool(true), TunnelOptions: []types.VpnTunnelOptionsSpecification{{PreSharedKey: aws.String("of.the.sdk"),
			IKEVersions: []types.IKEVersionsRequestListValue{{Value: aws.String("ikev2")}}}}}})
	if err != nil {
		return err
	}
	one := &ec2.DescribeVpnConnectionsInput{VpnConnectionIds: []string{*made.VpnConnection.VpnConnectionId}}
	if err := ec2.NewVpnConnectionAvailableWaiter(l).Wait(ctx, one, patience); err != nil {
		return err
	}
	if t := made.VpnConnection.Options.TunnelOptions; len(t) != 2 || *t[0].PreSharedKey != "of.the.sdk" || *t[0].IkeVersions[0].Value != "ikev2" || len(*t[1].PreSharedKey) != 32 {
		return fmt.Errorf("the tunnels are %+v", t)
	}
	if _, err := l.CreateVpnConnectionRoute(ctx, &ec2.CreateVpnConnectionRouteInput{VpnConnectionId: made.VpnConnection.VpnConnectionId, DestinationCidrBlock: aws.String("192.168.0.0/24")}); err != nil {
		return err
	}
	tables := &ec2.DescribeRouteTablesInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{*l.vpc}}}}
	main, err := l.DescribeRouteTables(ctx, tables)
	if err != nil {
		return err
	}
	if _, err := l.EnableVgwRoutePropagation(ctx, &ec2.EnableVgwRoutePropagationInput{RouteTableId: main.RouteTables[0].RouteTableId, GatewayId: from}); err != nil {
		return err
	}
	if main, err = l.DescribeRouteTables(ctx, tables); err != nil {
		return err
	}
	if r := main.RouteTables[0].Routes; len(r) != 2 || r[1].Origin != types.RouteOriginEnableVgwRoutePropagation || *r[1].GatewayId != *from {
		return fmt.Errorf("the routes are %+v", r)
	}
	if _, err := l.DetachVpnGateway(ctx, &ec2.DetachVpnGatewayInput{VpnGatewayId: from, VpcId: l.vpc}); err != nil {
		return err
	}
	_, busy := l.DeleteVpnGateway(ctx, &ec2.DeleteVpnGatewayInput{VpnGatewayId: from})
	if err := fault("IncorrectState", busy); err != nil {
		return err
	}
	if _, err := l.DeleteVpnConnection(ctx, &ec2.DeleteVpnConnectionInput{VpnConnectionId: made.VpnConnection.VpnConnectionId}); err != nil {
		return err
	}
	if err := ec2.NewVpnConnectionDeletedWaiter(l).Wait(ctx, one, patience); err != nil {
		return err
	}
	if _, err := l.DeleteVpnGateway(ctx, &ec2.DeleteVpnGatewayInput{VpnGatewayId: from}); err != nil {
		return err
	}
	_, err = l.DeleteCustomerGateway(ctx, &ec2.DeleteCustomerGatewayInput{CustomerGatewayId: to})
	return err
}

func (l *life) launch(ctx context.Context) error {
	images, err := l.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"amazon"}, Filters: []types.Filter{{Name: aws.String("image-type"), Values: []string{"machine"}}}})
	if err != nil {
		return err
	}
	if len(images.Images) == 0 {
		return errors.New("there is no image")
	}
	l.image = images.Images[0].ImageId
	made, err := l.RunInstances(ctx, &ec2.RunInstancesInput{ImageId: l.image, MinCount: aws.Int32(1), MaxCount: aws.Int32(1), InstanceType: types.InstanceTypeT3Micro, SubnetId: l.subnet,
		SecurityGroupIds: []string{*l.group}, UserData: aws.String(base64.StdEncoding.EncodeToString([]byte("#!/bin/sh"))), TagSpecifications: tag(types.ResourceTypeInstance),
		MetadataOptions: &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired}})
	if err != nil {
		return err
	}
	l.instance = made.Instances[0].InstanceId
	one := &ec2.DescribeInstancesInput{InstanceIds: []string{*l.instance}}
	out, err := ec2.NewInstanceRunningWaiter(l, func(o *ec2.InstanceRunningWaiterOptions) { o.MinDelay = time.Second }).WaitForOutput(ctx, one, patience)
	if err != nil {
		return err
	}
	i := out.Reservations[0].Instances[0]
	if i.State.Name != types.InstanceStateNameRunning || *i.SubnetId != *l.subnet || *i.SecurityGroups[0].GroupId != *l.group || i.MetadataOptions.HttpTokens != types.HttpTokensStateRequired ||
		*i.Tags[0].Value != "sdk" || i.LaunchTime.IsZero() || !strings.HasPrefix(*i.PrivateIpAddress, "10.7.1.") {
		return fmt.Errorf("it runs as %+v", i)
	}
	return ec2.NewInstanceStatusOkWaiter(l).Wait(ctx, &ec2.DescribeInstanceStatusInput{InstanceIds: []string{*l.instance}}, patience)
}

func (l *life) attach(ctx context.Context) error {
	made, err := l.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: &l.zone, Size: aws.Int32(1), VolumeType: types.VolumeTypeGp3, TagSpecifications: tag(types.ResourceTypeVolume)})
	if err != nil {
		return err
	}
	l.volume = made.VolumeId
	one := &ec2.DescribeVolumesInput{VolumeIds: []string{*l.volume}}
	soon := func(o *ec2.VolumeAvailableWaiterOptions) { o.MinDelay = time.Second }
	if err := ec2.NewVolumeAvailableWaiter(l, soon).Wait(ctx, one, patience); err != nil {
		return err
	}
	if _, err := l.AttachVolume(ctx, &ec2.AttachVolumeInput{VolumeId: l.volume, InstanceId: l.instance, Device: aws.String("/dev/sdf")}); err != nil {
		return err
	}
	if err := ec2.NewVolumeInUseWaiter(l).Wait(ctx, one, patience); err != nil {
		return err
	}
	kept, err := l.CreateSnapshot(ctx, &ec2.CreateSnapshotInput{VolumeId: l.volume})
	if err != nil {
		return err
	}
	snapshot := []string{*kept.SnapshotId}
	if err := ec2.NewSnapshotCompletedWaiter(l, func(o *ec2.SnapshotCompletedWaiterOptions) { o.MinDelay = time.Second }).Wait(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: snapshot}, patience); err != nil {
		return err
	}
	if _, err := l.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: kept.SnapshotId}); err != nil {
		return err
	}
	if _, err := l.DetachVolume(ctx, &ec2.DetachVolumeInput{VolumeId: l.volume}); err != nil {
		return err
	}
	return ec2.NewVolumeAvailableWaiter(l, soon).Wait(ctx, one, patience)
}

// pages lists the same things whole and by fives.
func (l *life) pages(ctx context.Context) error {
	whole, err := l.DescribeInstanceTypes(ctx, nil)
	if err != nil {
		return err
	}
	seen, turns := map[types.InstanceType]bool{}, 0
	for p := ec2.NewDescribeInstanceTypesPaginator(l, &ec2.DescribeInstanceTypesInput{MaxResults: aws.Int32(5)}); p.HasMorePages(); turns++ {
		page, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, t := range page.InstanceTypes {
			seen[t.InstanceType] = true
		}
	}
	if len(seen) != len(whole.InstanceTypes) || turns != (len(seen)+4)/5 {
		return fmt.Errorf("%d types in %d pages, and %d in one", len(seen), turns, len(whole.InstanceTypes))
	}
	var made []string
	for range 7 {
		v, err := l.CreateVolume(ctx, &ec2.CreateVolumeInput{AvailabilityZone: &l.zone, Size: aws.Int32(1), TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeVolume,
			Tags: []types.Tag{{Key: aws.String("page"), Value: aws.String("yes")}}}}})
		if err != nil {
			return err
		}
		made = append(made, *v.VolumeId)
	}
	found := map[string]bool{}
	for p := ec2.NewDescribeVolumesPaginator(l, &ec2.DescribeVolumesInput{MaxResults: aws.Int32(5), Filters: []types.Filter{{Name: aws.String("tag:page"), Values: []string{"y*"}}}}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, v := range page.Volumes {
			found[*v.VolumeId] = true
		}
	}
	if len(found) != len(made) {
		return fmt.Errorf("%d of %d volumes are on the pages", len(found), len(made))
	}
	for _, id := range made {
		one := &ec2.DescribeVolumesInput{VolumeIds: []string{id}}
		if err := ec2.NewVolumeAvailableWaiter(l, func(o *ec2.VolumeAvailableWaiterOptions) { o.MinDelay = time.Second }).Wait(ctx, one, patience); err != nil {
			return err
		}
		if _, err := l.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: &id}); err != nil {
			return err
		}
		if err := ec2.NewVolumeDeletedWaiter(l, func(o *ec2.VolumeDeletedWaiterOptions) { o.MinDelay = time.Second }).Wait(ctx, one, patience); err != nil {
			return err
		}
	}
	return nil
}

// fault wants an error of a code, with words for a human.
func fault(code string, err error) error {
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || e.ErrorMessage() == "" {
		return fmt.Errorf("want the code %s, got %w", code, err)
	}
	return nil
}

func (l *life) faults(ctx context.Context) error {
	nobody := "vol-0dead0beef0dead00"
	_, gone := l.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{nobody}})
	_, malformed := l.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{"x"}})
	_, busy := l.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: l.vpc})
	_, again := l.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("sdk"), Description: aws.String("twice"), VpcId: l.vpc})
	_, dry := l.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*l.instance}, DryRun: aws.Bool(true)})
	_, unknown := l.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{{Name: aws.String("elephant"), Values: []string{"x"}}}})
	_, absent := l.DescribeTransitGateways(ctx, nil)
	stranger := l.Options()
	stranger.Credentials = credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
	_, who := ec2.New(stranger).DescribeVpcs(ctx, nil)
	return errors.Join(fault("InvalidVolume.NotFound", gone), fault("InvalidVolumeID.Malformed", malformed), fault("DependencyViolation", busy), fault("InvalidGroup.Duplicate", again),
		fault("DryRunOperation", dry), fault("InvalidParameterValue", unknown), fault("UnsupportedOperation", absent), fault("AuthFailure", who))
}

func (l *life) end(ctx context.Context) error {
	one := &ec2.DescribeInstancesInput{InstanceIds: []string{*l.instance}}
	if _, err := l.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: one.InstanceIds}); err != nil {
		return err
	}
	if err := ec2.NewInstanceTerminatedWaiter(l, func(o *ec2.InstanceTerminatedWaiterOptions) { o.MinDelay = time.Second }).Wait(ctx, one, patience); err != nil {
		return err
	}
	if _, err := l.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: l.volume}); err != nil {
		return err
	}
	if _, err := l.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: l.group}); err != nil {
		return err
	}
	if _, err := l.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: l.subnet}); err != nil {
		return err
	}
	if _, err := l.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: l.vpc}); err != nil {
		return err
	}
	_, err := l.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{*l.vpc}})
	return fault("InvalidVpcID.NotFound", err)
}
