# Disks: further ones, of other types, and the root as another device.

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

variable "source_ami" {
  type = string
}

source "amazon-chroot" "disks" {
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

  source_ami       = var.source_ami
  ami_name         = "example-disks"
  root_volume_size = 10
  root_volume_type = "gp3"
  root_device_name = "/dev/xvda"
  nvme_device_path = var.device
  ami_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 10
    volume_type           = "gp3"
    throughput            = 250
    iops                  = 4000
    delete_on_termination = true
  }
  ami_block_device_mappings {
    device_name = "/dev/sdb"
    volume_size = 7
    volume_type = "gp2"
    encrypted   = true
  }
  ami_block_device_mappings {
    device_name  = "/dev/sdc"
    virtual_name = "ephemeral0"
  }
}

build {
  sources = ["source.amazon-chroot.disks"]

  provisioner "shell" {
    inline = ["echo disks > /srv/disks.txt"]
  }
}
