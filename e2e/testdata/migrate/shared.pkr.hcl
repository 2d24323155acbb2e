# Who may use the image, what it is called, and where else it is.

variable "endpoint" {
  type = string
}

variable "work" {
  type = string
}

# amazon-chroot finds a free name only where the host's disks are called sd or xvd.
variable "device" {
  type = string
}

source "amazon-chroot" "shared" {
  custom_endpoint_ec2 = var.endpoint
  region              = "us-east-1"
  access_key          = "local"
  secret_key          = "local"
  device_path         = var.device
  mount_path          = "${var.work}/root"
  aws_polling {
    delay_seconds = 1
    max_attempts  = 60
  }

  source_ami_filter {
    filters = {
      name                = "debian-bookworm-*"
      virtualization-type = "hvm"
      root-device-type    = "ebs"
    }
    owners      = ["self"]
    most_recent = true
  }

  ami_name        = "example-shared"
  ami_description = "from {{ .SourceAMIName }} in {{ .BuildRegion }}"
  ami_users       = ["111122223333", "444455556666"]
  ami_org_arns    = ["arn:aws:organizations::123456789012:organization/o-exampleorgid"]
  snapshot_users  = ["111122223333"]
  ami_regions     = ["eu-west-1"]
  imds_support    = "v2.0"
  ena_support     = true
  deprecate_at    = "2029-01-31T12:00:00Z"

  tags = {
    OS        = "Debian"
    Base_Name = "{{ .SourceAMIName }}"
    Owner     = "{{ .SourceAMIOwner }}"
  }
  snapshot_tags = {
    Kind = "root"
  }
  root_volume_tags = {
    Kind = "build"
  }
  deregistration_protection {
    enabled = true
  }
}

build {
  sources = ["source.amazon-chroot.shared"]

  provisioner "shell" {
    inline = ["echo shared by ${build.SourceAMIName} > /srv/source.txt"]
  }
}
