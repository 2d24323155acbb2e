#!/bin/sh
# Removes images that nobody needs any more, from the cloud and then from the
# registry's view: the record stays.
#
#   remove-old.sh [--dry-run]
#
# Of each application the newest KEEP (3) stay, and all that are younger than DAYS
# (90). Whatever their age, these stay: heads of channels, images on hold, and those
# that something stands on which is still there. CLOUD is local or aws.
set -eu
keep=${KEEP:-3}
days=${DAYS:-90}
cloud=${CLOUD:-local}

old() {
	bakery images tree --output json | jq --raw-output --argjson keep "$keep" --argjson days "$days" --arg cloud "$cloud" '
		def all: .[] | ., (.children | all);
		def there: .status != "retired";
		[all | select(there) | select(any(.artifacts[]; .cloud == $cloud))]
		| group_by([.application, .environment, .release, .arch])[]
		| sort_by(.created_at) | reverse | .[$keep:][]
		| select((now - (.created_at | sub("\\.[0-9]+"; "") | fromdateiso8601)) > $days * 86400)
		| select(.status != "promoted" and .held == null)
		| select([.children | all | select(there)] == [])
		| . as $image | .artifacts[] | select(.cloud == $cloud) | "\($image.id) \(.region) \(.image_id)"'
}

if [ "${1:-}" = --dry-run ]; then
	old
	exit
fi

# What stood on an image that is gone may be next.
while list=$(old) && [ -n "$list" ]; do
	echo "$list" | while read -r id region image; do
		echo "Removing $image in $region"
		if [ "$cloud" = local ]; then
			bakery local rm "$image" --region "$region"
		else
			aws ec2 deregister-image --region "$region" --image-id "$image" --delete-associated-snapshots
		fi
	done
	for id in $(echo "$list" | cut -d ' ' -f 1 | sort -u); do
		bakery retire "$id" --reason "older than $days days" >/dev/null
	done
done
