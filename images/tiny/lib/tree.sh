# shellcheck shell=bash
# SPDX-License-Identifier: EUPL-1.2
# The guest's two file trees for build-tiny: root and initrd.

# tree_root PACKAGES KERNEL TINY ROOT
tree_root() {
    local packages=$1 kernel=$2 tiny=$3 root=$4
    mkdir -p "$root"/{bin,sbin,dev,proc,sys,run,tmp,mnt,lib64,lib/x86_64-linux-gnu} \
        "$root"/{root/.ssh,home/cloud/.ssh,etc/dropbear,usr/bin,usr/sbin,var/lib/cloud,var/log}
    ln -s ../run "$root/var/run"
    chmod 1777 "$root/tmp"
    chmod 700 "$root/root" "$root/root/.ssh" "$root/home/cloud/.ssh"
    cp -a "$tiny/root/." "$root/"
    # whatever the umask of the checkout
    chmod -R u=rwX,go=rX "$root/etc" "$root/usr"
    chmod 600 "$root/etc/shadow"
    chmod 700 "$root/etc/dropbear" "$root/var/lib/cloud"

    tree_busybox "$packages" "$root"
    cp "$packages/usr/sbin/dropbear" "$root/usr/sbin/"
    cp "$packages/usr/bin/dropbearkey" "$packages/usr/bin/dbclient" "$root/usr/bin/"
    ln -s dbclient "$root/usr/bin/ssh"
    cp "$packages/bin/lsblk" "$packages/sbin/blkid" "$root/usr/bin/"
    tree_mke2fs "$packages" "$root"
    tree_libraries "$packages" "$root"
    tree_modules "$packages" "$kernel" "$root" initrd root < <(sed 's/#.*//' "$tiny/modules")
}

# tree_initrd PACKAGES KERNEL TINY INITRD
tree_initrd() {
    local packages=$1 kernel=$2 tiny=$3 initrd=$4
    mkdir -p "$initrd"/{bin,dev,proc,sys,new}
    cp -a "$tiny/initrd/." "$initrd/"
    cp "$packages/bin/busybox" "$initrd/bin/"
    ln -s busybox "$initrd/bin/sh"
    tree_modules "$packages" "$kernel" "$initrd" initrd < <(sed 's/#.*//' "$tiny/modules")
}

# The static busybox starts faster than the dynamic one, which counts without KVM.
tree_busybox() {
    local packages=$1 root=$2 applet
    cp "$packages/bin/busybox" "$root/bin/"
    for applet in $("$packages/bin/busybox" --list); do
        [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
    done
    for applet in init getty modprobe poweroff reboot halt; do
        ln -s ../bin/busybox "$root/sbin/$applet"
    done
}

# busybox' own, which its shell takes unless told the file, makes ext2 only and knows no -t.
tree_mke2fs() {
    local packages=$1 root=$2 type
    rm -f "$root"/bin/mke2fs "$root"/{bin,sbin}/mkfs.ext2
    cp "$packages/sbin/mke2fs" "$root/sbin/"
    cp "$packages/etc/mke2fs.conf" "$root/etc/"
    for type in 2 3 4; do
        ln -s mke2fs "$root/sbin/mkfs.ext$type"
    done
}

# Copies the libraries that the dynamic programs need, and those that the libraries need.
tree_libraries() {
    local packages=$1 root=$2 name file
    local -a queue=("$root/usr/sbin/dropbear" "$root"/usr/bin/{dropbearkey,dbclient,lsblk,blkid}
        "$root/sbin/mke2fs")
    while [ ${#queue[@]} -gt 0 ]; do
        local -a next=()
        for name in $(readelf -d "${queue[@]}" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u)
        do
            [ ! -e "$root/lib/x86_64-linux-gnu/$name" ] || continue
            file=$(find "$packages/lib/x86_64-linux-gnu" "$packages/usr/lib/x86_64-linux-gnu" \
                -name "$name" -print -quit)
            [ -n "$file" ] || { echo "build-tiny: no package has $name" >&2; return 1; }
            cp -L "$file" "$root/lib/x86_64-linux-gnu/$name"
            next+=("$root/lib/x86_64-linux-gnu/$name")
        done
        queue=("${next[@]}")
    done
    ln -sf ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$root/lib64/ld-linux-x86-64.so.2"
    [ -e "$root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" ]
}

# tree_modules PACKAGES KERNEL TREE STAGE... <LIST: the modules of these stages, and their
# dependencies; LIST has lines "stage module".
tree_modules() {
    local packages=$1 kernel=$2 tree=$3 from to stage module file
    shift 3
    from=$packages/lib/modules/$kernel to=$tree/lib/modules/$kernel
    [ -e "$from/modules.dep" ] || depmod -b "$packages" "$kernel"
    mkdir -p "$to"
    cp "$from"/modules.{order,builtin,builtin.modinfo} "$to/"
    while read -r stage module; do
        [[ " $* " == *" $stage "* ]] || continue
        modprobe -d "$packages" -S "$kernel" --show-depends "$module" >"$packages/depends" ||
            { echo "build-tiny: the kernel package has no module $module" >&2; return 1; }
        for file in $(sed -n 's/^insmod //p' "$packages/depends"); do
            file=${file#"$from"/}
            mkdir -p "$to/$(dirname "$file")"
            cp "$from/$file" "$to/$file"
        done
    done
    depmod -b "$tree" "$kernel"
}
