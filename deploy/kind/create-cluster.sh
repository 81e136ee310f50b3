#!/usr/bin/env bash
# Make the kind cluster: create-cluster.sh [MINOR], such as 1.36; by default the newest release that drakit is tested on.
# A cluster that is there stays as it is.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

releases=$(cd "$KIND_DIRECTORY/kubernetes" && printf '%s\n' ./*.yaml | sed 's|^\./||; s|\.yaml$||' | sort --version-sort)
release=${1:-$(tail -n 1 <<< "$releases")}
features=$KIND_DIRECTORY/kubernetes/$release.yaml
[[ -f $features ]] || fail "there is no configuration for Kubernetes $release; there are $(paste -sd ' ' - <<< "$releases")"
image=$(sed -n 's/^# image: //p' "$features")

need_kind
if cluster_exists; then
  say "cluster $CLUSTER is there already; deploy/kind/delete-cluster.sh removes it"
  exit 0
fi
say "making cluster $CLUSTER with Kubernetes $release"
cat "$KIND_DIRECTORY/cluster.yaml" "$features" |
  kind create cluster --name "$CLUSTER" --image "$image" --wait 5m --config - ||
  fail "kind could not make the cluster; its own message is above"
say "done. Next: deploy/kind/build-image.sh"
