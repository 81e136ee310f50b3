# shellcheck shell=bash
# shellcheck disable=SC2034 # who uses these sources this file
# What the scripts of this directory share. Each of them may be run again at any time, and stops at the first failure.
set -euo pipefail

KIND_DIRECTORY=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$KIND_DIRECTORY/../.." && pwd)
# The cluster, and the context of kubectl: DRAKIT_KIND_CLUSTER names another one.
CLUSTER=${DRAKIT_KIND_CLUSTER:-drakit}
CONTEXT=kind-$CLUSTER
NAMESPACE=drakit
VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$REPOSITORY/core/pyproject.toml")
# DRAKIT_IMAGE names another image, such as one of a registry.
IMAGE=${DRAKIT_IMAGE:-drakit:$VERSION}
# Where the image of a checkout is.
ARCHIVE=$REPOSITORY/dist/drakit-image.tar

fail() {
  echo "Error: $*" >&2
  exit 1
}

say() {
  echo "==> $*"
}

# need TOOL HOW-TO-GET-IT
need() {
  command -v "$1" > /dev/null || fail "$1 is not on the PATH; $2"
}

need_kind() {
  need kind "see https://kind.sigs.k8s.io/docs/user/quick-start/#installation"
  need kubectl "see https://kubernetes.io/docs/tasks/tools/"
}

on_cluster() {
  kubectl --context "$CONTEXT" "$@"
}

cluster_exists() {
  local clusters
  clusters=$(kind get clusters) || fail "kind cannot say which clusters there are; does Docker (or Podman) run?"
  grep -qxF "$CLUSTER" <<< "$clusters"
}

need_cluster() {
  need_kind
  cluster_exists || fail "there is no kind cluster $CLUSTER; make it with deploy/kind/create-cluster.sh"
}
