package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/imagebakery/packer-plugin-bakery/internal/localcloud"
)

//go:embed bake.pkr.hcl
var template string

// builder is one of the builders that are compared.
type builder struct {
	Type string // of the source
	Poll int    // seconds between two looks; 0: what the builder does by itself
}

var (
	peer      = builder{Type: "amazon-chroot"}
	peerQuick = builder{Type: "amazon-chroot", Poll: 1}
	bakery    = builder{Type: "bakery-chroot"}
)

// String names the builder in output.
func (b builder) String() string {
	if b.Poll > 0 {
		return fmt.Sprintf("%s, polling every %d s", b.Type, b.Poll)
	}
	return b.Type
}

// figuresOfOne are what one bake took, in seconds.
type figuresOfOne struct {
	Wall      float64        `json:"wall"`      // of packer build
	Provision float64        `json:"provision"` // from the begin of the first provisioner to the end of the last
	Cloud     float64        `json:"cloud"`     // in which the cloud worked for the bake, outside of provisioning
	CPU       float64        `json:"cpu"`       // of Packer and its plugins
	Calls     int            `json:"calls"`
	ByAction  map[string]int `json:"by_action"`
}

// fixed is what does not depend on what is baked.
func (f figuresOfOne) fixed() float64 { return f.Wall - f.Provision }

// own is what is the builder's own doing of it.
func (f figuresOfOne) own() float64 { return f.fixed() - f.Cloud }

// bakeOne bakes one image and removes it again.
func (w *world) bakeOne(ctx context.Context, packer string, b builder) (figuresOfOne, error) {
	_, before, err := w.log.since(0)
	if err != nil {
		return figuresOfOne{}, err
	}
	one, err := w.bake(ctx, packer, b, 0)
	if err != nil {
		return figuresOfOne{}, err
	}
	calls, _, err := w.log.since(before)
	if err != nil {
		return figuresOfOne{}, err
	}
	f := measure(one, calls)
	return f, w.removeImages(context.WithoutCancel(ctx), one.image)
}

// measure splits up a bake.
func measure(one baked, calls []localcloud.Served) figuresOfOne {
	f := figuresOfOne{
		Wall: one.all.to.Sub(one.all.from).Seconds(), Provision: one.provision.to.Sub(one.provision.from).Seconds(),
		CPU: one.cpu.Seconds(), Calls: len(calls), ByAction: map[string]int{},
	}
	for _, c := range calls {
		f.ByAction[c.Action]++
	}
	spans := cloudSpans(calls, localcloud.AWSDelays())
	f.Cloud = (length(spans, span{one.all.from, one.provision.from}) + length(spans, span{one.provision.to, one.all.to})).Seconds()
	return f
}

// figuresOfMany are what several bakes at once took.
type figuresOfMany struct {
	Wall  float64 `json:"wall"` // until the last has ended
	CPU   float64 `json:"cpu"`  // of all
	Calls int     `json:"calls"`
}

// bakeMany bakes n images at once, each with a Packer of its own.
func (w *world) bakeMany(ctx context.Context, packer string, b builder, n int) (figuresOfMany, error) {
	_, before, err := w.log.since(0)
	if err != nil {
		return figuresOfMany{}, err
	}
	bakes, errs := make([]baked, n), make([]error, n)
	begin := time.Now()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { bakes[i], errs[i] = w.bake(ctx, packer, b, i) })
	}
	all.Wait()
	f := figuresOfMany{Wall: time.Since(begin).Seconds()}
	if err := errors.Join(errs...); err != nil {
		return figuresOfMany{}, err
	}
	calls, _, err := w.log.since(before)
	if err != nil {
		return figuresOfMany{}, err
	}
	f.Calls = len(calls)
	var images []string
	for _, one := range bakes {
		images = append(images, one.image)
		f.CPU += one.cpu.Seconds()
	}
	return f, w.removeImages(context.WithoutCancel(ctx), images...)
}

// baked is a bake that went well.
type baked struct {
	image          string // name
	all, provision span
	cpu            time.Duration
}

// bake runs packer build once; slot tells bakes that run at once apart.
func (w *world) bake(ctx context.Context, packer string, b builder, slot int) (baked, error) {
	work, err := os.MkdirTemp(w.dir, "bake-")
	if err != nil {
		return baked{}, fmt.Errorf("make a folder for a bake: %w", err)
	}
	one := baked{image: fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), slot)}
	file := filepath.Join(work, "bake.pkr.hcl")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(template, peer.Type, b.Type)), 0o644); err != nil {
		return baked{}, fmt.Errorf("write the template: %w", err)
	}
	args := []string{"build", "-color=false"}
	for _, v := range [][2]string{
		{"endpoint", w.endpoint}, {"source", w.source}, {"name", one.image}, {"work", work}, {"package", w.pkg},
	} {
		args = append(args, "-var", v[0]+"="+v[1])
	}
	if b.Type == peer.Type {
		args = append(args, "-var", fmt.Sprintf("device=/dev/xvdz%c", 'a'+slot))
	}
	if b.Poll > 0 {
		args = append(args, "-var", "poll="+strconv.Itoa(b.Poll))
	}
	cmd := exec.CommandContext(ctx, packer, append(args, file)...)
	cmd.Dir, cmd.Env = work, append(slices.Clip(w.env), w.plugins(b.Type))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// The builders clean up after an interrupt, and want time for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = endOf

	one.all.from = time.Now()
	err = cmd.Run()
	one.all.to = time.Now()
	if ctx.Err() != nil {
		return baked{}, context.Cause(ctx)
	}
	if err != nil {
		return baked{}, fmt.Errorf("%s: %w:\n%s", b, err, out.Bytes())
	}
	one.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if one.provision.from, err = readTime(filepath.Join(work, "begin")); err != nil {
		return baked{}, err
	}
	one.provision.to, err = readTime(filepath.Join(work, "end"))
	return one, err
}

// readTime reads what `date +%s.%N` has written.
func readTime(path string) (time.Time, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, fmt.Errorf("read when provisioners ran: %w", err)
	}
	seconds, nanos, _ := strings.Cut(strings.TrimSpace(string(text)), ".")
	s, err := strconv.ParseInt(seconds, 10, 64)
	n, err2 := strconv.ParseInt(nanos, 10, 64)
	if err := errors.Join(err, err2); err != nil {
		return time.Time{}, fmt.Errorf("read when provisioners ran: %w", err)
	}
	return time.Unix(s, n), nil
}
