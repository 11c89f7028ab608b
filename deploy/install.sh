#!/bin/sh
# Installs glass_edge as services of systemd, or takes it away again.
#
#   deploy/install.sh --wheels DIR [--extras LIST] [--python PYTHON]
#   deploy/install.sh --uninstall [--purge]
#
# Promises: it may be run again, to upgrade or to repair: what is there is kept, a running station goes on with the
# program it was started with until it is restarted; nothing is fetched from a network; --uninstall leaves settings,
# journals and the user, --purge does not. docs/how-to/install-as-a-service.md tells how the wheels are made.
set -eu

usage() {
    sed -n '4,5s/^# *//p' "$0" >&2
    exit 2
}

say() { printf '%s\n' "$*"; }
refuse() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=deploy/layout.sh
. "$here/layout.sh"

python=python3 wheels='' extras='' is_uninstall=no is_purge=no
while [ $# -gt 0 ]; do
    case $1 in
        --wheels | --extras | --python)
            [ $# -gt 1 ] || usage
            case $1 in
                --wheels) wheels=$2 ;;
                --extras) extras=$2 ;;
                --python) python=$2 ;;
            esac
            shift 2
            ;;
        --uninstall) is_uninstall=yes && shift ;;
        --purge) is_purge=yes && shift ;;
        *) usage ;;
    esac
done
[ "$is_purge" = no ] || [ "$is_uninstall" = yes ] || usage

# Is systemd there to be told? It is not in a chroot or an image that is being built.
is_booted() { [ -d /run/systemd/system ]; }

check_system() {
    [ "$(id -u)" -eq 0 ] || refuse "run it as root"
    command -v systemctl >/dev/null || refuse "there is no systemd here; the program runs without it: glass-edge run"
    if dpkg-query -W -f '${Status}' glass-edge 2>/dev/null | grep -q 'ok installed'; then
        refuse "the Debian package glass-edge is installed; use apt, or remove it first: apt remove glass-edge"
    fi
}

check_python() {
    command -v "$python" >/dev/null || refuse "$python: no such program; install Python 3.11 to 3.13, or name it: --python"
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
        refuse "$("$python" --version) is not supported; name a Python 3.11, 3.12 or 3.13: --python /usr/bin/python3.11"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || refuse "$python has no venv; install it: apt install python3-venv"
}

check_wheels() {
    [ -n "$wheels" ] || refuse "give the folder of wheels: --wheels DIR"
    [ -d "$wheels" ] || refuse "$wheels: no such folder"
    wheels=$(CDPATH='' cd -- "$wheels" && pwd)
    ls "$wheels"/glass_edge-*.whl >/dev/null 2>&1 ||
        refuse "$wheels: holds no glass_edge-*.whl; make the wheels: pip wheel --wheel-dir DIR '.[EXTRAS]'"
}

# The library of GenICam is linked with Python's own, which Debian packages apart.
check_genicam() {
    case ",$extras," in *,genicam,*) ;; *) return 0 ;; esac
    "$1" -c 'import genicam.gentl' 2>/dev/null && return 0
    refuse "genicam cannot be loaded: $("$1" -c 'import genicam.gentl' 2>&1 | tail -n 1); $(genicam_remedy)"
}

genicam_remedy() {
    "$python" -c 'import sys; print("apt install libpython%d.%d" % sys.version_info[:2])'
}

# A virtual environment beside the one in use, which takes over by one rename when it is whole.
install_program() {
    release=$(date -u +%Y%m%dT%H%M%SZ)
    folder=$PREFIX/releases/$release
    mkdir -p "$PREFIX/releases"
    trap 'rm -rf "$folder"' EXIT
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" \
        "glass-edge${extras:+[$extras]}"
    "$folder/bin/glass-edge" --version >/dev/null
    check_genicam "$folder/bin/python"
    trap - EXIT
    before=$(readlink "$PREFIX/bin" || true)
    ln -s "releases/$release/bin" "$PREFIX/.bin.$$"
    mv -T "$PREFIX/.bin.$$" "$PREFIX/bin"
    ln -sfn "$PREFIX/bin/glass-edge" "$COMMAND"
    # the one before stays, for what still runs with it and to go back to; older ones go
    for old in "$PREFIX"/releases/*; do
        case "releases/${old##*/}/bin" in
            "releases/$release/bin" | "$before") ;;
            *) rm -rf "$old" ;;
        esac
    done
}

install_services() {
    place_system_files "$LOCAL"
    place_backoff "$LOCAL" "$(systemd_version)"
    place_shared_files "$PREFIX/share"
    place_samples /etc/glass-edge keep
    systemd-sysusers "$LOCAL/sysusers.d/glass-edge.conf"
    install -d -m 0750 -o glass-edge -g glass-edge /var/lib/glass-edge
    tell_system
}

tell_system() {
    is_booted || return 0
    systemctl daemon-reload
    # the kernel's settings are the host's; in a container they cannot be written
    /usr/lib/systemd/systemd-sysctl "$LOCAL/sysctl.d/60-glass-edge.conf" ||
        say "warning: the network's settings could not be set; they come with the next start of the machine"
    if [ -S /run/udev/control ]; then
        udevadm control --reload
        udevadm trigger --subsystem-match=usb --subsystem-match=module --action=change
    fi
}

uninstall() {
    if is_booted; then
        units=$(systemctl list-units --all --plain --no-legend --full 'glass-edge*' | cut -d' ' -f1)
        # shellcheck disable=SC2086 # one word a unit
        [ -z "$units" ] || systemctl disable --now $units
        systemctl reset-failed 'glass-edge*' || true
    fi
    find /etc/systemd/system -type l -name 'glass-edge*' -lname "$LOCAL/*" -delete
    remove_system_files "$LOCAL"
    rm -rf "$PREFIX"
    rm -f "$COMMAND"
    if [ "$is_purge" = yes ]; then
        rm -rf /etc/glass-edge /var/lib/glass-edge /var/cache/glass-edge /run/glass-edge
        rm -rf /etc/systemd/system/glass-edge*
        rm -f /etc/credstore/glass-edge.* /etc/credstore/glass-edge-adapter.*
        if id glass-edge >/dev/null 2>&1; then userdel glass-edge; fi
    else
        rm -f "$LOCAL/sysusers.d/glass-edge.conf"
    fi
    if is_booted; then systemctl daemon-reload; fi
}

if [ "$is_uninstall" = yes ]; then
    check_system
    uninstall
    [ "$is_purge" = yes ] || say "settings stay in /etc/glass-edge, journals and pictures in /var/lib/glass-edge"
    exit 0
fi
check_wheels
check_python
check_system
install_program
install_services
say "$("$PREFIX/bin/glass-edge" --version) is in $PREFIX"
say "try it:        systemctl start glass-edge-station@sample.target && systemctl status glass-edge@sample"
say "your station:  /etc/glass-edge/NAME.toml, then systemctl enable --now glass-edge-station@NAME.target"
[ -z "$before" ] || say "what runs goes on as it is; restart it between two rolls: systemctl restart 'glass-edge*'"
