module github.com/imagebakery/packer-plugin-bakery/tools/peer

go 1.25.11

require github.com/hashicorp/packer-plugin-amazon v1.8.2

replace github.com/zclconf/go-cty => github.com/nywilken/go-cty v1.13.3
