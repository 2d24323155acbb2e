#!/bin/sh
# Makes .web-docs, the form in which HashiCorp's site and code hosts show the
# documentation of a plugin, of the rendered pages in .docs: one README for each
# component, without front matter and title. `make generate` runs it.
set -eu
cd "$(dirname "$0")/.."

rm -rf .web-docs/components
for kind in builders:builder data-sources:data-source provisioners:provisioner post-processors:post-processor; do
	for page in .docs/"${kind%:*}"/*.mdx; do
		[ -e "$page" ] || continue
		dir=.web-docs/components/${kind#*:}/$(basename "$page" .mdx)
		mkdir -p "$dir"
		awk '
			NR == 1 && $0 == "---" { front = 1; next }
			front { if ($0 == "---") front = 0; next }
			/^# / && !body { next }
			NF { body = 1 }
			body
		' "$page" >"$dir/README.md"
	done
done
