# Sourced by the scripts beside it: where the lab keeps its things, and what it is called.
repo=$(cd "$here/../.." && pwd)
: "${LAB_ENGINE:=podman}"
# A lane is a lab of its own beside the first one, with the first one's images: LAB_LANE=2.
: "${LAB_LANE:=}"
LAB_STATE=$repo/.cache/lab${LAB_LANE:+-$LAB_LANE}
LAB_RUN=$LAB_STATE/run
LAB_NETWORK=nodetrust-lab
LAB_PREFIX=nodetrust-
LAB_IMAGE=localhost/nodetrust-node
export LAB_ENGINE LAB_LANE LAB_STATE LAB_RUN LAB_NETWORK LAB_PREFIX LAB_IMAGE
if [ "$LAB_ENGINE" = podman ]; then
  CONTAINERS_CONF=$LAB_STATE/containers.conf
  CONTAINERS_STORAGE_CONF=$LAB_STATE/storage.conf
  # RUN steps of a build then need no cgroups at all.
  BUILDAH_ISOLATION=chroot
  # A control group of our own, so that it can be found and removed again.
  LAB_CGROUP=nodetrust-lab-$(printf %s "$LAB_STATE" | cksum | cut -d' ' -f1)
  ANSIBLE_SSH_CONTROL_PATH_DIR=/run/lab/ssh
  export CONTAINERS_CONF CONTAINERS_STORAGE_CONF BUILDAH_ISOLATION LAB_CGROUP ANSIBLE_SSH_CONTROL_PATH_DIR
fi

# Print the PID, as seen from here, of the process that holds the name spaces.
lab_holder() {
  local guard pid
  read -r guard 2>/dev/null < "$LAB_STATE/ns.pid" || return 1
  grep -qs -e "$here/holder" "/proc/$guard/cmdline" || return 1
  pid=$(pgrep -P "$guard" -f "$here/holder $LAB_STATE\$") || return 1
  [ -e "/proc/$pid/root/run/lab/ready" ] || return 1
  echo "$pid"
}

# Containers and volumes that podman's store on disk still holds.
lab_records() {
  find "$LAB_STATE/storage/overlay-containers" "$LAB_STATE/storage/volumes" \
    -mindepth 1 -maxdepth 1 -type d 2>/dev/null
  return 0
}

# The lanes that this checkout has had.
lab_lanes() {
  find "$repo/.cache" -mindepth 1 -maxdepth 1 -type d -name 'lab-*' 2>/dev/null | sed 's#.*/lab-##'
  return 0
}

# The lab's control groups, deepest first.
lab_cgroups() {
  local tree
  tree=$(findmnt -nt cgroup2 -o TARGET | head -n 1)
  [ -z "$tree" ] || find "$tree/$LAB_CGROUP" -depth -type d 2>/dev/null
  return 0
}
