integration {
  name        = "Bakery"
  description = "Bakes machine images in layers, tests them before they become images, and remembers where each came from."
  identifier  = "packer/imagebakery/bakery"
  flags       = ["hcp-ready"]
  docs {
    process_docs    = true
    readme_location = "./README.md"
    external_url    = "https://github.com/imagebakery/packer-plugin-bakery"
  }
  license {
    type = "MPL-2.0"
    url  = "https://github.com/imagebakery/packer-plugin-bakery/blob/main/LICENSE"
  }
  component {
    type = "builder"
    name = "bakery-chroot"
    slug = "chroot"
  }
  component {
    type = "data-source"
    name = "bakery-ancestor"
    slug = "ancestor"
  }
  component {
    type = "provisioner"
    name = "bakery-spec"
    slug = "spec"
  }
  component {
    type = "post-processor"
    name = "bakery-lineage"
    slug = "lineage"
  }
}
