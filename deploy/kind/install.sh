#!/usr/bin/env bash
# Install the chart with mock hardware on the kind cluster, or bring it up to date; returns when every agent serves.
# install.sh ARGUMENTS... are given to helm, such as --set or --values.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_cluster
need helm "see https://helm.sh/docs/intro/install/"
[[ ${IMAGE##*/} == *:* && $IMAGE != *@* ]] || fail "DRAKIT_IMAGE is $IMAGE; name it with a tag, as in $IMAGE:dev"
say "installing drakit on cluster $CLUSTER"
helm --kube-context "$CONTEXT" upgrade drakit "$REPOSITORY/deploy/helm/drakit" --install \
  --namespace "$NAMESPACE" --create-namespace --values "$KIND_DIRECTORY/values.yaml" \
  --set "image.repository=${IMAGE%:*}" --set-string "image.tag=${IMAGE##*:}" "$@" ||
  fail "helm could not install the chart; its own message is above"
# A new image may have the old one's name.
on_cluster --namespace "$NAMESPACE" rollout restart daemonset --selector app.kubernetes.io/instance=drakit
on_cluster --namespace "$NAMESPACE" rollout status daemonset --selector app.kubernetes.io/instance=drakit --timeout 3m ||
  fail "the agents do not come up; see kubectl --context $CONTEXT -n $NAMESPACE get pods, and docs/kind.md"
on_cluster get resourceslices
say "done. Next: deploy/kind/demo.sh"
