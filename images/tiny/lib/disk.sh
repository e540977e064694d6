# shellcheck shell=bash
# SPDX-License-Identifier: EUPL-1.2
# The guest's disk for build-tiny: an MBR, a FAT partition with syslinux, kernel and initrd,
# and an ext4 root, put together in one sparse file.

disk_boot_mib=20
disk_root_mib=96

# disk_write WORK TINY VMLINUZ OUTPUT: WORK holds the trees "root" and "initrd".
disk_write() {
    local work=$1 tiny=$2 vmlinuz=$3 out=$4 raw=$1/disk.raw
    truncate -s "$((1 + disk_boot_mib + disk_root_mib + 1))M" "$raw"
    sfdisk -q "$raw" <<X
label: dos
start=1MiB, size=${disk_boot_mib}MiB, type=e, bootable
start=$((1 + disk_boot_mib))MiB, size=${disk_root_mib}MiB, type=83
X
    dd if=/usr/lib/syslinux/mbr/mbr.bin of="$raw" bs=440 count=1 conv=notrunc status=none
    disk_initrd "$work/initrd" "$work/initrd.img"
    disk_boot "$work/boot.fat" "$tiny" "$vmlinuz" "$work/initrd.img"
    dd if="$work/boot.fat" of="$raw" bs=1M seek=1 conv=notrunc,sparse status=none
    disk_root "$raw" "$work/root"
    qemu-img convert -c -O qcow2 "$raw" "$out"
}

disk_initrd() {
    (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0) | zstd -q -19 >"$2"
}

disk_boot() {
    local fat=$1 tiny=$2 vmlinuz=$3 initrd=$4
    truncate -s "${disk_boot_mib}M" "$fat"
    mkfs.vfat -n TINYBOOT "$fat" >/dev/null
    mcopy -i "$fat" "$vmlinuz" ::vmlinuz
    mcopy -i "$fat" "$initrd" ::initrd.img
    mcopy -i "$fat" "$tiny/syslinux.cfg" ::syslinux.cfg
    syslinux --install "$fat"
}

# A journal, since guests are switched off without warning. fakeroot gives the files to the
# right users whoever builds.
disk_root() {
    fakeroot -- sh -c 'chown -R 1000:1000 "$1/home/cloud" && shift && exec "$@"' sh "$2" \
        mke2fs -q -F -t ext4 -b 1024 -J size=1 -m 0 -N 4096 -L tinyroot -O ^metadata_csum,^64bit \
        -E "offset=$(((1 + disk_boot_mib) * 1024 * 1024)),root_owner=0:0,lazy_itable_init=0" \
        -d "$2" "$1" "${disk_root_mib}M"
}
