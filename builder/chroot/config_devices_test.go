package chroot

import "testing"

// The limits of EBS as the API reference of CreateVolume has them since
// September 2025, when those of gp3 rose from 16 TiB, 16,000 IOPS and
// 1,000 MiB/s.
func TestLimitsOfVolumes(t *testing.T) {
	for _, test := range []struct {
		shape volumeShape
		fits  bool
	}{
		{volumeShape{kind: "gp3", size: 65536, iops: 80000, throughput: 2000}, true},
		{volumeShape{kind: "gp3", size: 65537}, false},
		{volumeShape{kind: "gp3", size: 200, iops: 80001}, false},
		{volumeShape{kind: "gp3", size: 159, iops: 80000}, false}, // 500 for each GiB
		{volumeShape{kind: "gp3", size: 160, iops: 80000}, true},
		{volumeShape{kind: "gp3", size: 1, iops: 3000}, true},
		{volumeShape{kind: "gp3", iops: 2999}, false},
		{volumeShape{kind: "gp3", iops: 8000, throughput: 2001}, false},
		{volumeShape{kind: "gp3", iops: 8000, throughput: 2000}, true}, // a quarter of the IOPS
		{volumeShape{kind: "gp3", iops: 7999, throughput: 2000}, false},
		{volumeShape{kind: "gp3", throughput: 750}, true},
		{volumeShape{kind: "gp3", throughput: 751}, false},
		{volumeShape{kind: "gp3", throughput: 124}, false},
		{volumeShape{kind: "io2", size: 65536, iops: 256000}, true},
		{volumeShape{kind: "io2", size: 65537, iops: 256000}, false},
		{volumeShape{kind: "io2", size: 256, iops: 256000}, true}, // 1000 for each GiB
		{volumeShape{kind: "io2", size: 255, iops: 256000}, false},
		{volumeShape{kind: "io2", size: 1000, iops: 256001}, false},
		{volumeShape{kind: "io2", size: 3, iops: 100}, false},
		{volumeShape{kind: "io2", size: 4, iops: 99}, false},
		{volumeShape{kind: "io2", size: 4, iops: 100, throughput: 500}, false},
		{volumeShape{kind: "io1", size: 16384, iops: 64000}, true},
		{volumeShape{kind: "io1", size: 16385, iops: 64000}, false},
		{volumeShape{kind: "io1", size: 1279, iops: 64000}, false}, // 50 for each GiB
		{volumeShape{kind: "gp2", size: 16384}, true},
		{volumeShape{kind: "gp2", size: 16385}, false},
		{volumeShape{kind: "gp2", size: 8, iops: 3000}, false},
		{volumeShape{kind: "st1", size: 124}, false},
		{volumeShape{kind: "standard", size: 1024}, true},
		{volumeShape{kind: "standard", size: 1025}, false},
	} {
		if problems := test.shape.problems(); (len(problems) == 0) != test.fits {
			t.Errorf("%+v: %q, want it to fit: %v", test.shape, problems, test.fits)
		}
	}
}
