# Launches an image on AWS, runs a suite on the instance, and terminates it. No
# image is made of it.

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.8.0"
    }
    bakery = {
      source  = "github.com/imagebakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "image" {
  type = string
}

variable "suite" {
  type = string
}

variable "junit" {
  type = string
}

variable "region" {
  default = "us-east-1"
}

source "amazon-ebs" "instance" {
  region          = var.region
  source_ami      = var.image
  instance_type   = "t3.small"
  ssh_username    = "admin"
  ami_name        = "not-made"
  skip_create_ami = true
}

build {
  sources = ["source.amazon-ebs.instance"]

  provisioner "bakery-spec" {
    mode  = "booted"
    suite = [var.suite]
    junit = var.junit
  }
}
