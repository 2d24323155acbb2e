require 'spec_helper'

describe package('httpd'), :if => os[:family] == 'redhat' do
  it { should be_installed }
end

describe package('apache2'), :if => ['debian', 'ubuntu'].include?(os[:family]) do
  it { should be_installed.with_version('2.4.57-2') }
end

describe service('httpd'), if: os[:family] == 'redhat' do
  it { should be_enabled }
  it { should be_running }
end

describe port(80) do
  it { should be_listening.with('tcp') }
  it { is_expected.to be_listening.on('127.0.0.1').with('tcp') }
end

describe 'users' do
  context user('jeremy') do
    it { should exist }
    it { should have_uid 1000 }
    it { should belong_to_group 'sudo' }
    it { should have_login_shell '/bin/bash' }
  end

  it 'has no guest' do
    expect(user('guest')).not_to exist
    expect(group("games")).to have_gid(60)
  end
end

describe file('/etc/ssh/sshd_config') do
  it { should be_mode 600 }
  it { should be_owned_by 'root' }
  it { should be_grouped_into 'root' }
  its(:content) { should match /^PermitRootLogin\s+no$/ }
  its('content') { is_expected.not_to include 'PasswordAuthentication yes' }
  it { should contain('^UsePAM [a-z]\+$') }
  it { should be_readable.by('owner') }
end

describe file("/etc/motd") do
  its(:content) { should eq "hello\n" }
  its(:size) { should be <= 4096 }
end

describe command("sysctl -n net.ipv4.ip_forward; echo \"${HOME}\"") do
  its(:stdout) { should match(/^0$/) }
  its(:stderr) { should eq '' }
end

describe host('db.example.com') do
  it { should be_resolvable }
  it { should be_reachable.with(:port => 5432, :proto => 'tcp') }
  it { should be_reachable }
end

describe cron do
  it { should have_entry('0 3 * * * /usr/local/bin/backup --all').with_user('backup') }
end

describe file('/srv') do
  it { should be_mounted.with(:type => 'ext4') }
end

describe linux_kernel_parameter('vm.swappiness') do
  its(:value) { should eq 10 }
end

describe kernel_module('usb_storage') do
  it { should_not be_loaded }
end

describe interface('eth0') do
  its(:mtu) { should eq 1500 }
  it { should be_up }
end

describe process('nginx') do
  it { should be_running }
  its(:user) { should eq "root" }
end

describe selinux do
  it { should be_enforcing.with_policy('targeted') }
end

describe package('bundler') do
  it { should be_installed.by('gem') }
end

if os[:family] == 'debian'
  describe package('apt') do
    it { should be_installed }
  end
else
  describe package('rpm') do
    it { should be_installed }
  end
end

describe iptables do
  it { should have_rule('-P INPUT ACCEPT') }
end

property['role'].each do |role|
  describe package(role) do
    it { should be_installed }
  end
end
