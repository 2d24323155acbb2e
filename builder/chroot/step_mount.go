package chroot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/imagebakery/packer-plugin-bakery/internal/journal"
	"github.com/imagebakery/packer-plugin-bakery/internal/run"
	"github.com/imagebakery/packer-plugin-bakery/internal/volume"
)

// mountParent holds the mount points of bakes that name none.
const mountParent = "/mnt/bakery"

// hostCommand is what host commands and mount_path may use.
type hostCommand struct {
	Device    string
	MountPath string
	Command   string
}

func (b *bake) mountRoot(ctx context.Context) error {
	if err := b.hostCommands(ctx, "pre_mount_commands", b.config.PreMountCommands, hostCommand{Device: b.deviceName()}); err != nil {
		return err
	}
	target := filepath.Join(mountParent, strings.ToLower(b.id))
	if b.config.MountPath != "" {
		var err error
		target, err = b.renderHost("mount_path", b.config.MountPath, hostCommand{Device: filepath.Base(b.deviceName())})
		if err != nil {
			return err
		}
	}
	// What is mounted there is not this bake's to unmount, so it must not be listed.
	if err := volume.CheckTarget(target); err != nil {
		return err
	}
	if err := b.made(&b.mount, journal.Mount, target); err != nil {
		return err
	}
	mounted, err := volume.Mount(ctx, volume.MountOptions{
		Device: b.device, Partition: b.config.MountPartition, Target: target, Options: b.config.MountOptions,
		Log: b.ui.Say,
	})
	if errors.Is(err, volume.ErrOccupied) {
		// Another bake was quicker.
		err = errors.Join(err, b.journal.Gone(b.mount.entry))
		b.mount = resource{}
	}
	if err != nil {
		return err
	}
	b.mounted = mounted
	b.put(map[string]string{"MountPath": target})
	return b.hostCommands(ctx, "post_mount_commands", b.config.PostMountCommands, hostCommand{Device: b.deviceName(), MountPath: target})
}

// unmountRoot unmounts the root and whatever was mounted below it.
func (b *bake) unmountRoot(ctx context.Context) error {
	if b.mount.id == "" {
		return nil
	}
	if b.mounted != nil {
		if err := b.mounted.Unmount(ctx); err != nil {
			return err
		}
		b.mounted = nil
	}
	return b.remove(ctx, &b.mount)
}

// hostCommands runs commands of the host through a shell, as the template wrote
// them.
func (b *bake) hostCommands(ctx context.Context, option string, commands []string, data hostCommand) error {
	for i, text := range commands {
		where := fmt.Sprintf("%s[%d]", option, i)
		command, err := b.renderHost(where, text, data)
		if err != nil {
			return err
		}
		line, err := b.renderHost("command_wrapper", b.config.CommandWrapper, hostCommand{Command: command})
		if err != nil {
			return err
		}
		b.ui.Say("Running on the host: " + line)
		out := &uiWriter{say: b.ui.Say}
		err = run.Command{Argv: []string{"/bin/sh", "-c", line}, Stdout: out, Stderr: out}.Run(ctx)
		out.flush()
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	return nil
}

func (b *bake) renderHost(option, text string, data hostCommand) (string, error) {
	ictx := b.config.ctx
	ictx.Data = data
	out, err := interpolate.Render(text, &ictx)
	if err != nil {
		return "", fmt.Errorf("%s: %w", option, err)
	}
	return out, nil
}

// uiWriter says what is written to it, line by line.
type uiWriter struct {
	say  func(string)
	rest string
}

var _ io.Writer = (*uiWriter)(nil)

func (w *uiWriter) Write(p []byte) (int, error) {
	w.rest += string(p)
	for {
		line, rest, found := strings.Cut(w.rest, "\n")
		if !found {
			return len(p), nil
		}
		w.say(line)
		w.rest = rest
	}
}

func (w *uiWriter) flush() {
	if w.rest != "" {
		w.say(w.rest)
		w.rest = ""
	}
}
