# A round with the aws command: create, attach, write, detach, snapshot,
# register, describe, copy, deregister. Prints "round complete".
set -eu
device=$1
ec2() { aws ec2 --output text "$@"; }

instance=$(ec2 describe-instances --query 'Reservations[0].Instances[0].InstanceId')
zone=$(ec2 describe-instances --query 'Reservations[0].Instances[0].Placement.AvailabilityZone')
volume=$(ec2 create-volume --availability-zone "$zone" --size 1 --volume-type gp3 \
	--tag-specifications 'ResourceType=volume,Tags=[{Key=Name,Value=round}]' --query VolumeId)
ec2 wait volume-available --volume-ids "$volume"
ec2 attach-volume --volume-id "$volume" --instance-id "$instance" --device "$device"
ec2 wait volume-in-use --volume-ids "$volume"

mkfs.ext4 -q "$device"
mount "$device" "$MOUNT"
echo "written by a guest" >"$MOUNT/note"
umount "$MOUNT"

ec2 detach-volume --volume-id "$volume"
ec2 wait volume-available --volume-ids "$volume"
snapshot=$(ec2 create-snapshot --volume-id "$volume" --description "a round" --query SnapshotId)
ec2 wait snapshot-completed --snapshot-ids "$snapshot"
image=$(ec2 register-image --name aws-round --architecture x86_64 --virtualization-type hvm --ena-support --boot-mode uefi \
	--root-device-name /dev/xvda --block-device-mappings "DeviceName=/dev/xvda,Ebs={SnapshotId=$snapshot,VolumeType=gp3}" \
	--tag-specifications 'ResourceType=image,Tags=[{Key=application,Value=round}]' --query ImageId)
ec2 wait image-available --image-ids "$image"
[ "$(ec2 describe-images --owners self --filters 'Name=name,Values=aws-r*' Name=tag:application,Values=round --query 'Images[].ImageId')" = "$image" ]

copy=$(ec2 copy-image --region eu-west-1 --source-region us-east-1 --source-image-id "$image" --name aws-round --copy-image-tags --query ImageId)
ec2 wait image-available --region eu-west-1 --image-ids "$copy"
[ "$(ec2 describe-tags --region eu-west-1 --filters "Name=resource-id,Values=$copy" --query 'Tags[0].Value')" = round ]
ec2 deregister-image --region eu-west-1 --image-id "$copy" --delete-associated-snapshots
[ -z "$(ec2 describe-snapshots --region eu-west-1 --owner-ids self --query 'Snapshots[].SnapshotId')" ]

again=$(ec2 create-volume --availability-zone "$zone" --snapshot-id "$snapshot" --query VolumeId)
ec2 wait volume-available --volume-ids "$again"
ec2 attach-volume --volume-id "$again" --instance-id "$instance" --device "$device"
ec2 wait volume-in-use --volume-ids "$again"
mount -o ro "$device" "$MOUNT"
grep -q "written by a guest" "$MOUNT/note"
umount "$MOUNT"
ec2 detach-volume --volume-id "$again"
ec2 wait volume-available --volume-ids "$again"

ec2 delete-snapshot --snapshot-id "$snapshot" 2>&1 | grep -q InvalidSnapshot.InUse
ec2 deregister-image --image-id "$image"
ec2 delete-snapshot --snapshot-id "$snapshot"
ec2 delete-volume --volume-id "$volume"
ec2 delete-volume --volume-id "$again"
ec2 wait volume-deleted --volume-ids "$volume"
[ "$(aws sts get-caller-identity --query Account --output text)" = 000000000000 ]
echo "round complete"
