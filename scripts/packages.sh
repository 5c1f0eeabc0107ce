# SPDX-License-Identifier: MIT
# For bash scripts: installs Debian packages that are missing. What is needed is written
# WHAT=PACKAGE, where WHAT is a command or the pattern of an absolute path.

for_building=(gcc=gcc ld=binutils /usr/include/stdio.h=libc6-dev meson=meson
    ninja=ninja-build pkg-config=pkg-config)
for_testing=(g++=g++ python3=python3 /usr/include/cmocka.h=libcmocka-dev)
# Without these some tests are skipped.
for_testing_more=(strace=strace jq=jq socat=socat nc.openbsd=netcat-openbsd mandoc=mandoc
    clang=clang clang-format=clang-format spin=spin qemu-aarch64-static=qemu-user-static
    aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu
    /usr/aarch64-linux-gnu/include/stdio.h=libc6-dev-arm64-cross
    '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a=libclang-rt-dev')

packages_updated=no

# Prints the packages of those WHAT=PACKAGE that are missing.
packages_missing() {
    local pair what
    for pair in "$@"; do
        what=${pair%=*}
        case $what in
            /*) compgen -G "$what" >/dev/null || echo "${pair##*=}" ;;
            *) command -v "$what" >/dev/null || echo "${pair##*=}" ;;
        esac
    done
}

# Installs what is missing. Status 1, and a sentence, if something stays missing.
packages_install() {
    local missing as_root=()
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0

    if ! command -v apt-get >/dev/null; then
        echo "missing, and there is no apt-get to install it: ${missing[*]}" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "missing: ${missing[*]}; install them as root" >&2
            return 1
        fi
        as_root=(sudo)
        [ -t 0 ] || as_root=(sudo -n)
    fi
    echo "== installing Debian packages: ${missing[*]}"
    if [ "$packages_updated" = no ]; then
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update </dev/null ||
            echo "apt-get update failed; trying with the lists that are here" >&2
        packages_updated=yes
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        --no-install-recommends install "${missing[@]}" </dev/null

    hash -r
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -eq 0 ] && return 0
    echo "could not install: ${missing[*]}" >&2
    return 1
}
