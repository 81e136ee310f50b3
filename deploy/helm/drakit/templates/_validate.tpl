{{/* Refuses values that contradict each other, before anything is sent to the cluster. Renders nothing. */}}
{{- define "drakit.validate" -}}
{{- include "drakit.validate.place" . }}
{{- include "drakit.validate.backends" . }}
{{- include "drakit.validate.extensions" . }}
{{- include "drakit.validate.extraPlugins" . }}
{{- include "drakit.validate.rights" . }}
{{- include "drakit.validate.names" . }}
{{- include "drakit.mock.validate" . }}
{{- range list "serviceMonitor" "prometheusRule" "dashboard" }}
{{- if and (index $.Values . "enabled") (le (int $.Values.config.metricsPort) 0) }}
{{- fail (printf "%s.enabled: the agent serves no metrics; set config.metricsPort" .) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "drakit.validate.place" -}}
{{- if and (eq .Release.Namespace "default") (not .Values.allowDefaultNamespace) }}
{{- fail "the agent mounts directories of its node, and belongs in a namespace of its own: install with --namespace drakit --create-namespace, or set allowDefaultNamespace" }}
{{- end }}
{{- $namespace := lookup "v1" "Namespace" "" .Release.Namespace | default dict }}
{{- $level := dig "metadata" "labels" "pod-security.kubernetes.io/enforce" "" $namespace }}
{{- if has $level (list "baseline" "restricted") }}
{{- fail (printf "namespace %s admits no pods that mount directories of their node (pod-security.kubernetes.io/enforce is %s): kubectl label --overwrite namespace %s pod-security.kubernetes.io/enforce=privileged" .Release.Namespace $level .Release.Namespace) }}
{{- end }}
{{- end }}

{{- define "drakit.validate.backends" -}}
{{- $known := include "drakit.plugins" . | fromYaml }}
{{- $offered := include "drakit.extraPlugins.names" . | fromYamlArray | concat .Values.image.plugins (keys $known) | uniq | sortAlpha }}
{{- if not (concat (default list .Values.config.backends) (default list .Values.config.extensions)) }}
{{- fail "config.backends: nothing would be served; list a plugin" }}
{{- end }}
{{- $served := dict }}
{{- range .Values.config.backends }}
{{- if not (has .plugin $offered) }}
{{- fail (printf "config.backends: plugin %s is in neither the image nor extraPlugins; there are %s. If the image is your own and has it, list it in image.plugins" .plugin (join ", " $offered)) }}
{{- end }}
{{- $driver := default (dig .plugin "driver" "" $known) .driver }}
{{- if not $driver }}
{{- fail (printf "config.backends: the chart does not know the driver of plugin %s, which permissions and policies name; give its driver" .plugin) }}
{{- end }}
{{- with get $served $driver }}
{{- fail (printf "config.backends: driver %s is served by plugin %s already; a driver is served once, so give one another driver" $driver .) }}
{{- end }}
{{- $_ := set $served $driver .plugin }}
{{- if and .nodeLabels (hasKey $known .plugin) (not (dig .plugin "nodeLabels" list $known)) }}
{{- fail (printf "config.backends: plugin %s names no labels for its Node; remove its nodeLabels" .plugin) }}
{{- end }}
{{- if and .nodeLabels (not (hasKey $known .plugin)) (not $.Values.admission.nodeLabels.additional) }}
{{- fail (printf "config.backends: the chart does not know which labels plugin %s gives to its Node; list them in admission.nodeLabels.additional" .plugin) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "drakit.validate.extensions" -}}
{{- $known := include "drakit.plugins" . | fromYaml }}
{{- $offered := include "drakit.extraPlugins.names" . | fromYamlArray | concat .Values.image.plugins | uniq | sortAlpha }}
{{- range .Values.config.extensions }}
{{- if hasKey $known .plugin }}
{{- fail (printf "config.extensions: plugin %s serves driver %s; list it under config.backends" .plugin (dig .plugin "driver" "" $known)) }}
{{- end }}
{{- if not (has .plugin $offered) }}
{{- fail (printf "config.extensions: plugin %s is in neither extraPlugins nor image.plugins" .plugin) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "drakit.validate.extraPlugins" -}}
{{- $names := dict }}
{{- range .Values.extraPlugins }}
{{- if hasKey $names .name }}
{{- fail (printf "extraPlugins: there are two of the name %s" .name) }}
{{- end }}
{{- $_ := set $names .name true }}
{{- if and .volume (not .requirements) }}
{{- fail (printf "extraPlugins: %s takes wheels from a volume, where anybody may have put them; give requirements, with the hash of each" .name) }}
{{- end }}
{{- if and .image (not .requirements) (not (contains "@sha256:" .image)) }}
{{- fail (printf "extraPlugins: image %s of %s may have other wheels tomorrow; name it by its digest (@sha256:...), or give requirements, with the hash of each wheel" .image .name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "drakit.validate.rights" -}}
{{- if and (include "drakit.writesNodeLabels" .) (not .Values.rbac.create) }}
{{- fail "config.backends: nodeLabels needs a right to patch nodes, and a policy that limits it, which the chart gives with rbac.create only; set it, or remove nodeLabels" }}
{{- end }}
{{- range .Values.admission.nodeLabels.additional }}
{{- if regexMatch "(^|\\.)(kubernetes|k8s)\\.io/" . }}
{{- fail (printf "admission.nodeLabels.additional: %s belongs to Kubernetes, whose labels keep nodes apart; agents may not write it" .) }}
{{- end }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: the agent's permissions would go to the namespace's default account; name one" }}
{{- end }}
{{- end }}

{{/* Two releases of one full name in two namespaces would fight over what has no namespace. */}}
{{- define "drakit.validate.names" -}}
{{- range list "ClusterRole" "ClusterRoleBinding" }}
{{- include "drakit.validate.own" (list $ "rbac.authorization.k8s.io/v1" . (include "drakit.fullname" $) "give this release a fullnameOverride") }}
{{- end }}
{{- end }}

{{/* An object that is to be made must not be there already, unless it is this release's. */}}
{{- define "drakit.validate.own" -}}
{{- $root := index . 0 }}
{{- $there := lookup (index . 1) (index . 2) "" (index . 3) | default dict }}
{{- $annotations := dig "metadata" "annotations" dict $there }}
{{- $of := printf "%s/%s" (get $annotations "meta.helm.sh/release-namespace") (get $annotations "meta.helm.sh/release-name") }}
{{- if and $there (ne $of (printf "%s/%s" $root.Release.Namespace $root.Release.Name)) }}
{{- $whose := ternary "no release of Helm's" (printf "release %s" $of) (eq $of "/") }}
{{- fail (printf "there is a %s %s already, of %s: %s" (index . 2) (index . 3) $whose (index . 4)) }}
{{- end }}
{{- end }}
