# The least that a template can say.

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

source "amazon-chroot" "basic" {
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

  source_ami = var.source_ami
  ami_name   = "example-basic"
}

build {
  sources = ["source.amazon-chroot.basic"]

  provisioner "shell" {
    inline = ["echo Test > /srv/test.txt"]
  }
}
