require 'spec_helper'

# private keys
describe file('/root/.ssh/id_rsa') do
  it { should_not be_file }
end

describe file('/etc/timezone') do
  it { should be_file }
  it { should contain 'Etc/UTC' }
end

%w{ntp nslcd}.each do |p|
  describe package(p) do
    it { should be_installed }
  end
end

describe service("nslcd") do
  it { should be_enabled }
  it { should be_running }
end

describe command('getent passwd jeremy') do
  its(:exit_status) { should eq 0 }
end

describe command('ntpq -pn|grep -E "^\*"') do
  its(:exit_status) { should eq 0 }
end
