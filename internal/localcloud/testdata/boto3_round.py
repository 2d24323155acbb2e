"""A round with boto3, through clients and resources: create, attach, write,
detach, snapshot, register, describe, share, deregister. Prints "round complete"."""

import sys
import urllib.request

import boto3
from botocore.exceptions import ClientError


def refused(code, call, **parameters):
    try:
        call(**parameters)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
    else:
        raise AssertionError(f"{code} expected")


device = sys.argv[1]
ec2 = boto3.client("ec2")
resource = boto3.resource("ec2")

def metadata(path, method="GET", **headers):
    request = urllib.request.Request(
        sys.argv[2] + "/latest/" + path, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    return urllib.request.urlopen(request).read().decode()


token = metadata("api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
instance = metadata("meta-data/instance-id", X_aws_ec2_metadata_token=token)
zone = metadata("meta-data/placement/availability-zone", X_aws_ec2_metadata_token=token)
assert resource.Instance(instance).state["Name"] == "running"

volume = resource.create_volume(AvailabilityZone=zone, Size=4, VolumeType="io2", Iops=200, Encrypted=True)
assert volume.state == "creating" and volume.encrypted
ec2.get_waiter("volume_available").wait(VolumeIds=[volume.id], WaiterConfig={"Delay": 1})
volume.attach_to_instance(InstanceId=instance, Device=device)
ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume.id], WaiterConfig={"Delay": 1})
refused("VolumeInUse", volume.delete)
with open(device, "r+b") as f:
    f.seek(1 << 20)
    f.write(b"written by boto3's guest")
volume.detach_from_instance()
ec2.get_waiter("volume_available").wait(VolumeIds=[volume.id], WaiterConfig={"Delay": 1})

snapshot = volume.create_snapshot(
    TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": "round"}]}]
)
snapshot.wait_until_completed(WaiterConfig={"Delay": 1})
assert snapshot.encrypted and snapshot.tags == [{"Key": "Name", "Value": "round"}]

image = resource.register_image(
    Name="boto3-round",
    Architecture="arm64",
    VirtualizationType="hvm",
    BootMode="uefi",
    TpmSupport="v2.0",
    ImdsSupport="v2.0",
    RootDeviceName="/dev/sda1",
    BlockDeviceMappings=[
        {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot.id, "VolumeType": "gp3", "Throughput": 250}}
    ],
)
image.wait_until_exists(Filters=[{"Name": "state", "Values": ["available"]}], WaiterConfig={"Delay": 1})
image.reload()
assert image.state == "available" and image.tpm_support == "v2.0" and image.imds_support == "v2.0"
assert image.block_device_mappings[0]["Ebs"]["Throughput"] == 250
assert image.block_device_mappings[0]["Ebs"]["Encrypted"]
image.modify_attribute(LaunchPermission={"Add": [{"UserId": "123456789012"}]})
shared = image.describe_attribute(Attribute="launchPermission")["LaunchPermissions"]
assert shared == [{"UserId": "123456789012"}], shared
pages = ec2.get_paginator("describe_images").paginate(Owners=["self"], PaginationConfig={"PageSize": 1})
assert image.id in [i["ImageId"] for page in pages for i in page["Images"]]
refused("DryRunOperation", image.deregister, DryRun=True)
refused("InvalidAction", ec2.describe_key_pairs)

image.deregister()
snapshot.delete()
volume.delete()
refused("InvalidSnapshot.NotFound", snapshot.load)
print("round complete")
