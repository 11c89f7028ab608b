#!/bin/sh
# Makes a Debian package of glass_edge with a Python environment of its own.
#
#   deploy/deb/build.sh --wheels DIR --out DIR [--extras LIST] [--python /usr/bin/python3.11]
#
# Promises: the package is for the Debian and the processor it is made on, and needs nothing of a network to be installed;
# it is whole or absent. docs/how-to/install-as-a-service.md tells how the wheels are made.
set -eu

usage() {
    sed -n '4s/^# *//p' "$0" >&2
    exit 2
}

refuse() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=deploy/layout.sh
. "$here/layout.sh"

python=/usr/bin/python3 wheels='' extras='' out=''
while [ $# -gt 1 ]; do
    case $1 in
        --wheels) wheels=$2 ;;
        --extras) extras=$2 ;;
        --python) python=$2 ;;
        --out) out=$2 ;;
        *) usage ;;
    esac
    shift 2
done
if [ $# -ne 0 ] || [ -z "$wheels" ] || [ -z "$out" ]; then usage; fi
[ -d "$wheels" ] || refuse "$wheels: no such folder"
[ -d "$out" ] || refuse "$out: no such folder"
command -v dpkg-deb >/dev/null || refuse "there is no dpkg-deb; install it: apt install dpkg"
python=$(readlink -f "$(command -v "$python" || printf %s "$python")")
case $python in
    /usr/bin/python3.1[123]) ;;
    *) refuse "$python: is no Python 3.11 to 3.13 of a Debian package; name one: --python /usr/bin/python3.11" ;;
esac
"$python" -c 'import ensurepip, venv' 2>/dev/null || refuse "$python has no venv; install it: apt install python3-venv"

wheel=$(find "$wheels" -maxdepth 1 -name 'glass_edge-*.whl')
[ "$(printf '%s\n' "$wheel" | grep -c .)" -eq 1 ] || refuse "$wheels: must hold one glass_edge-*.whl"
version=$(basename "$wheel" | cut -d- -f2)
architecture=$(dpkg --print-architecture)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 0755 "$root"

# The environment is made here and used at $PREFIX: what names this place is told the other one.
release=$PREFIX/releases/$version
mkdir -p "$root$PREFIX/releases"
"$python" -m venv "$root$release"
"$root$release/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-index \
    --find-links "$wheels" "glass-edge${extras:+[$extras]}"
"$root$release/bin/python" -m pip uninstall --quiet --yes pip setuptools
rm -rf "$root$release"/bin/activate* "$root$release"/bin/Activate.ps1
grep -rlI "$root" "$root$release/bin" "$root$release/pyvenv.cfg" | xargs -r sed -i "s#$root##g"
"$python" -m compileall -q -s "$root" -p / "$root$release/lib"
ln -s "releases/$version/bin" "$root$PREFIX/bin"
mkdir -p "$root/usr/bin"
ln -s "$PREFIX/bin/glass-edge" "$root/usr/bin/glass-edge"

place_system_files "$root/usr/lib"
place_shared_files "$root$PREFIX/share"
install -m 0644 -t "$root$PREFIX/share" "$here/systemd/restart-backoff.conf"
place_samples "$root/etc/glass-edge"

depends=$(basename "$python")
# the library of GenICam is linked with Python's own, which Debian packages apart
case ",$extras," in *,genicam,*) depends="$depends, lib$depends" ;; esac

mkdir "$root/DEBIAN"
for script in postinst prerm postrm; do
    install -m 0755 "$here/deb/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find etc -type f -printf '/%p\n' | sort >DEBIAN/conffiles)
cat >"$root/DEBIAN/control" <<CONTROL
Package: glass-edge
Version: $version
Architecture: $architecture
Maintainer: ${DEBFULLNAME:-glass_edge} <${DEBEMAIL:-root@localhost}>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends, systemd (>= 252)
Section: science
Priority: optional
Description: fabric inspection at the loom
 Inspects woven cloth while it is woven: camera lines in, defect events out.
 Brings its own Python environment, units of systemd, and settings for
 GenICam cameras.
CONTROL

package=glass-edge_${version}_$architecture.deb
# gzip: most of it is compressed badly and slowly by xz
dpkg-deb -Zgzip --root-owner-group --build "$root" "$out/.$package" >/dev/null
mv "$out/.$package" "$out/$package"
printf '%s\n' "$out/$package"
