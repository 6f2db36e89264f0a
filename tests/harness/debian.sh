# Debians to test in, made of the mirror that apt uses. To be sourced, with `set -euo pipefail`; only for root.

fail() {
    echo "$0: $1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "only root can make a Debian"

# debian_tree TREE PACKAGES [RELEASE]: a small Debian with these packages, of this host's release or another, or an Ubuntu,
# in the folder TREE. It takes a minute, so it stays for the next time; a half-made one does not.
debian_tree() {
    local tree=$1 packages=$2 codename mirror options=() script=
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
        awk -v "codename=$codename" '$2 == codename { print $1; exit }')
    case ${3-} in
        jammy | noble)
            codename=$3 mirror=http://archive.ubuntu.com/ubuntu
            # Ubuntu's key may not be here, and debootstrap not know its newest release.
            options=(--no-check-gpg --components=main,universe)
            script=/usr/share/debootstrap/scripts/gutsy
            ;;
        *) codename=${3:-$codename} ;;
    esac
    [ "$(cat "$tree/.made" 2>/dev/null)" != "$codename $packages" ] || return 0
    [ -n "$mirror" ] || fail "apt knows no mirror for \"$codename\""
    rm -rf "$tree"
    debootstrap --variant=minbase --include="$packages" "${options[@]}" "$codename" "$tree" "$mirror" $script \
        >"$tree.log" 2>&1 || fail "debootstrap: $(tail -n 5 "$tree.log")"
    rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
    echo "$codename $packages" >"$tree/.made"
}

# shared_debian TREE: one of this host's release that boots, with all that any test needs: quicker to make once than a smaller
# one for each. Tests run side by side; the first makes it.
shared_debian() {
    mkdir -p "$(dirname "$1")"
    exec {lock}>"$1.lock"
    flock $lock
    debian_tree "$1" systemd-sysv,dbus,udev,init-system-helpers,iproute2,curl,linux-image-cloud-amd64,runc,busybox-static,\
binutils,ca-certificates
    exec {lock}>&-
}

# in_a_scene ROOT SCRIPT [LINE…]: has a Debian play a script when it boots, as a service with these lines besides.
in_a_scene() {
    local root=$1 script=$2
    shift 2
    : >"$root/etc/machine-id"
    install -m 755 "$script" "$root/usr/local/sbin/scene"
    {
        printf '[Unit]\nAfter=network.target\n[Service]\nType=oneshot\nExecStart=/usr/local/sbin/scene\n'
        [ $# -eq 0 ] || printf '%s\n' "$@"
        printf '[Install]\nWantedBy=multi-user.target\n'
    } >"$root/etc/systemd/system/scene.service"
    ln -s ../scene.service "$root/etc/systemd/system/multi-user.target.wants/scene.service"
}

# boot_in_a_container ROOT: boots ROOT with this host's kernel, and moves what the scene leaves to the folder `result`.
# What the system said is in the file `console`.
boot_in_a_container() {
    timeout 400 systemd-nspawn --quiet --register=no --keep-unit --private-network --directory="$1" --boot \
        --console=read-only >console 2>&1 </dev/null || true
    [ -e "$1/srv/out/result" ] || fail "the container did not come to its end: $(tail -n 20 console)"
    mv "$1/srv/out" result
}

# boot_under_qemu TREE ROOT SIZE SECONDS OPTION…: boots ROOT, which has the kernel of TREE, from a disk of this size, and
# unpacks the tar that the guest leaves on its last disk, /dev/sda, to the folder `result`. As there may be no KVM, the
# processors are emulated. What the guest says is in the file `console`. ROOT is gone after it.
boot_under_qemu() {
    local tree=$1 root=$2 size=$3 seconds=$4
    shift 4
    rm -f root.img out.img
    truncate -s "$size" root.img
    mke2fs -q -t ext4 -d "$root" root.img
    truncate -s 64M out.img
    rm -rf "$root" result
    timeout --kill-after=10 "$seconds" qemu-system-x86_64 \
        -accel tcg,thread=multi -m 1G -smp 2 -nodefaults -nographic -serial stdio -no-reboot \
        -kernel "$tree"/boot/vmlinuz-* -initrd "$tree"/boot/initrd.img-* \
        -drive if=none,id=root,file=root.img,format=raw -device virtio-blk-pci,drive=root \
        -device virtio-scsi-pci -drive if=none,id=out,file=out.img,format=raw -device scsi-hd,drive=out \
        "$@" </dev/null >console 2>&1 || fail "QEMU: $(tail -n 20 console)"
    mkdir result
    tar -C result -xf out.img || fail "the guest left nothing: $(tail -n 20 console)"
}
