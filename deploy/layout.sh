# Where the files of a service go; read by install.sh and deb/build.sh. `here` is the folder deploy/ of a checkout.
# shellcheck shell=sh disable=SC2034,SC2154

PREFIX=/opt/glass-edge
LOCAL=/usr/local/lib # what the machine's owner installs; a package's is /usr/lib
COMMAND=/usr/local/bin/glass-edge
FIRST_WITH_BACKOFF=254

# Units, the user, and the settings of devices and network.
#   $1: the lib folder
place_system_files() {
    install -D -m 0644 -t "$1/systemd/system" "$here"/systemd/*.service "$here"/systemd/*.target
    install -D -m 0644 "$here/systemd/sysusers.conf" "$1/sysusers.d/glass-edge.conf"
    install -D -m 0644 -t "$1/udev/rules.d" "$here/udev/70-glass-edge.rules"
    install -D -m 0644 -t "$1/sysctl.d" "$here/sysctl/60-glass-edge.conf"
}

systemd_version() { systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p'; }

# Growing pauses between restarts, where systemd knows them.
#   $1: the lib folder; $2: version of systemd
place_backoff() {
    [ "${2:-0}" -ge "$FIRST_WITH_BACKOFF" ] || return 0
    install -D -m 0644 -t "$1/systemd/system/glass-edge@.service.d" "$here/systemd/restart-backoff.conf"
}

remove_system_files() {
    rm -f "$1"/systemd/system/glass-edge@.service "$1"/systemd/system/glass-edge-adapter@.service \
        "$1"/systemd/system/glass-edge-station@.target "$1"/udev/rules.d/70-glass-edge.rules \
        "$1"/sysctl.d/60-glass-edge.conf "$1"/sysusers.d/glass-edge.conf
    rm -rf "$1"/systemd/system/glass-edge@.service.d
}

# The engine of the sample station, and the page about all this.
#   $1: the share folder
place_shared_files() {
    rm -rf "$1/engines/demo"
    mkdir -p "$1/engines/demo"
    cp -R "$here/../engines/demo/1" "$1/engines/demo/1"
    chmod -R u=rwX,go=rX "$1"
    install -D -m 0644 -t "$1/doc" "$here/../docs/how-to/install-as-a-service.md"
}

# The sample station and adapter.
#   $1: the folder; $2: keep: not over files that are there
place_samples() {
    install -d -m 0755 "$1" "$1/adapters"
    place_sample "$here/sample-station.toml" "$1/sample.toml" "${2:-}"
    place_sample "$here/sample-adapter.toml" "$1/adapters/sample-files.toml" "${2:-}"
}

place_sample() {
    if [ "$3" != keep ] || [ ! -e "$2" ]; then install -m 0644 "$1" "$2"; fi
}
