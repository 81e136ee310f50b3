#!/usr/bin/env bash
# Delete the kind cluster, with all that is on its nodes. Where there is none, nothing is to be done.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_kind
if ! cluster_exists; then
  say "there is no cluster $CLUSTER"
  exit 0
fi
kind delete cluster --name "$CLUSTER" || fail "kind could not delete cluster $CLUSTER; its own message is above"
if cluster_exists; then
  fail "cluster $CLUSTER is still there; see docker ps --filter label=io.x-k8s.kind.cluster=$CLUSTER"
fi
say "cluster $CLUSTER is deleted"
