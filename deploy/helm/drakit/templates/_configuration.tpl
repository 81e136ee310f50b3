{{/* The agent's configuration: `config`, and what follows from the mounts of the DaemonSet. */}}
{{- define "drakit.configuration" -}}
{{- $kubelet := .Values.kubelet.rootDirectory }}
{{- $mounts := dict
  "apiVersion" "drakit/v1alpha1"
  "kind" "AgentConfiguration"
  "root" (include "drakit.hardware.root" .)
  "hostRoot" (include "drakit.hardware.hostRoot" .)
  "cdiRoot" .Values.cdi.directory
  "kubeletPluginsDirectoryPath" (printf "%s/plugins" $kubelet)
  "kubeletRegistrarDirectoryPath" (printf "%s/plugins_registry" $kubelet)
  "kubeletPodResourcesSocket" (printf "%s/pod-resources/kubelet.sock" $kubelet)
}}
{{- toYaml (merge $mounts (include "drakit.mock.backends" . | fromYaml) .Values.config) }}
{{- end }}

{{/* The names of the plugins that are enabled and that the chart does not know. */}}
{{- define "drakit.unknownPlugins" -}}
{{- $known := include "drakit.plugins" . | fromYaml }}
{{- $found := list }}
{{- range concat (default list .Values.config.backends) (default list .Values.config.extensions) }}
{{- if not (hasKey $known .plugin) }}{{ $found = append $found .plugin }}{{ end }}
{{- end }}
{{- toYaml (uniq $found) }}
{{- end }}

{{/* The labels that agents may write to their own Nodes; as YAML, for fromYamlArray. */}}
{{- define "drakit.nodeLabels" -}}
{{- $known := include "drakit.plugins" . | fromYaml }}
{{- $keys := list }}
{{- range .Values.config.backends }}
{{- if or .nodeLabels $.Values.admission.nodeLabels.always }}
{{- $keys = concat $keys (dig .plugin "nodeLabels" list $known) }}
{{- end }}
{{- end }}
{{- toYaml (concat $keys .Values.admission.nodeLabels.additional | uniq) }}
{{- end }}

{{/* Not empty if agents label their Nodes. */}}
{{- define "drakit.writesNodeLabels" -}}
{{- if .Values.admission.nodeLabels.always }}true{{ end }}
{{- range .Values.config.backends }}{{ if .nodeLabels }}true{{ end }}{{ end }}
{{- end }}

{{/* A list of words as CEL has it. */}}
{{- define "drakit.celStrings" -}}
[{{ range $index, $word := . }}{{ if $index }}, {{ end }}{{ printf "'%s'" $word }}{{ end }}]
{{- end }}
