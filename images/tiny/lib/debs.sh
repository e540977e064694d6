# shellcheck shell=bash
# SPDX-License-Identifier: EUPL-1.2
# Debian packages for build-tiny: found in apt's lists, kept in a cache, checked, unpacked.

# debs_open CACHE: uses the machine's package lists, or our own where it has none.
debs_open() {
    debs_cache=$1
    debs_apt_options=(-qq -o "Dir::Cache::archives=$debs_cache" -o APT::Sandbox::User=)
    if ! debs_newest_kernel >/dev/null; then
        debs_refresh
    fi
}

# Own lists, so that neither root rights nor a change to the machine are needed.
debs_refresh() {
    echo "build-tiny: reading Debian's package lists"
    mkdir -p "$debs_cache/lists/partial"
    debs_apt_options+=(-o "Dir::State::lists=$debs_cache/lists"
        -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=")
    apt-get "${debs_apt_options[@]}" update
}

debs_newest_kernel() {
    apt-cache "${debs_apt_options[@]}" depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/.*Depends: \(linux-image-.*-cloud-amd64\)$/\1/p' | head -n 1 | grep .
}

# debs_fetch DIR PACKAGE...: links each package's file into DIR, downloading what the cache lacks.
debs_fetch() {
    local dir=$1
    shift
    mkdir -p "$dir"
    if ! debs_fetch_once "$dir" "$@"; then
        # the lists name versions that the mirror has replaced
        debs_refresh
        debs_fetch_once "$dir" "$@"
    fi
}

debs_fetch_once() {
    local dir=$1 uris file sum
    shift
    # where nothing is, since apt leaves out what is there already
    uris=$(cd / && apt-get "${debs_apt_options[@]}" --print-uris download "$@") ||
        return 1
    if ! debs_check "$uris"; then
        echo "build-tiny: downloading Debian packages into $debs_cache"
        (cd "$debs_cache" && apt-get "${debs_apt_options[@]}" download "$@") || return 1
        debs_check "$uris" || return 1
    fi
    while read -r _ file _ sum; do
        ln -s "$debs_cache/$file" "$dir/$file"
    done <<<"$uris"
}

# Each line of URIS is: 'uri' file size SHA256:sum
debs_check() {
    local file sum
    while read -r _ file _ sum; do
        [ "${sum%%:*}" = SHA256 ] || return 1
        echo "${sum#SHA256:}  $debs_cache/$file" | sha256sum --check --status 2>/dev/null ||
            return 1
    done <<<"$1"
}

# debs_unpack DIR TREE
debs_unpack() {
    local file
    mkdir -p "$2"
    for file in "$1"/*.deb; do
        dpkg-deb --extract "$file" "$2"
    done
}
