# A template of amazon-chroot, as it was.

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.8.0"
    }
  }
}

source "amazon-chroot" "web" {
  ami_name                = "web-{{timestamp}}"
  ami_virtualization_type = "hvm"
  root_volume_size        = 3

  source_ami_filter {
    owners      = ["self"]
    filters     = { name = "base-*" }
    most_recent = true
  }

  tags = {
    Name = "web"
  }
}

build {
  sources = ["source.amazon-chroot.web"]

  provisioner "shell" {
    inline = ["mkdir -p /srv/web", "echo hello > /srv/web/index.html"]
  }
}
