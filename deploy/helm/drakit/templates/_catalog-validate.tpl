{{/* Values of the catalog that do not go together. Each fails with what to do about it. */}}

{{- define "drakit.catalog.validate" -}}
{{- $catalog := .Values.catalog }}
{{- $namespaces := include "drakit.catalog.namespaces" . | fromJsonArray }}
{{- if not $catalog.offers }}
{{- range $what, $set := dict "policy.enabled" $catalog.policy.enabled "quotas" $catalog.quotas "roles.practitioners" $catalog.roles.practitioners "createNamespaces" $catalog.createNamespaces }}
{{- if $set }}{{ fail (printf "catalog.%s is set, but catalog.offers is empty: no template is published in any namespace" $what) }}{{ end }}
{{- end }}
{{- end }}
{{- include "drakit.catalog.validate.there" (list $ $namespaces) }}
{{- $with := dict "catalog.roles.practitioners" $catalog.roles.practitioners "catalog.quotas" $catalog.quotas }}
{{- range $what, $entries := $with }}
{{- $seen := dict }}
{{- range $index, $entry := $entries }}
{{- if not .namespaces }}{{ fail (printf "%s[%d]: namespaces is empty; name some of %s" $what $index (join ", " $namespaces)) }}{{ end }}
{{- range .namespaces }}
{{- if not (has . $namespaces) }}{{ fail (printf "%s[%d]: no template is offered in namespace %s, but in %s" $what $index . (join ", " $namespaces)) }}{{ end }}
{{- if and (eq $what "catalog.quotas") (hasKey $seen .) }}{{ fail (printf "%s[%d]: namespace %s has a quota already; put the two together" $what $index .) }}{{ end }}
{{- $_ := set $seen . true }}
{{- end }}
{{- end }}
{{- end }}
{{- include "drakit.catalog.validate.roles" $catalog.roles }}
{{- include "drakit.catalog.validate.quotas" $ }}
{{- if and (has "Deny" $catalog.policy.actions) (has "Warn" $catalog.policy.actions) }}
{{- fail "catalog.policy.actions: what is denied needs no warning; keep one of Deny and Warn" }}
{{- end }}
{{- if hasKey $catalog.namespaceLabels "resource.kubernetes.io/admin-access" }}
{{- fail "catalog.namespaceLabels: resource.kubernetes.io/admin-access would let practitioners reach devices that others use; label a namespace of the platform team's by hand" }}
{{- end }}
{{- if and $catalog.namespaceLabels (not $catalog.createNamespaces) }}
{{- fail "catalog.namespaceLabels is set, but only namespaces that are made here can be labelled; set catalog.createNamespaces, or remove it" }}
{{- end }}
{{- end }}

{{/* Namespaces must be there, or be made. Only a cluster can tell: without one, every lookup is empty. */}}
{{- define "drakit.catalog.validate.there" -}}
{{- $root := index . 0 }}
{{- if and (index . 1) (not $root.Values.catalog.createNamespaces) (lookup "v1" "Namespace" "" "kube-system") }}
{{- range index . 1 }}
{{- if not (lookup "v1" "Namespace" "" .) }}{{ fail (printf "catalog.offers: there is no namespace %s in the cluster; create it, or have all of them made by catalog.createNamespaces" .) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "drakit.catalog.validate.roles" -}}
{{- range $index, $entry := .practitioners }}
{{- if not (or .users .groups) }}{{ fail (printf "catalog.roles.practitioners[%d]: names neither users nor groups" $index) }}{{ end }}
{{- end }}
{{- if and (not .create) (or .practitioners .platform.users .platform.groups .aggregate) }}
{{- fail "catalog.roles: somebody is to have the roles, but create is false, so there are none; set it, or bind roles of your own" }}
{{- end }}
{{- end }}

{{- define "drakit.catalog.validate.quotas" -}}
{{- $classes := include "drakit.catalog.deviceClasses" . | fromJsonArray }}
{{- range $index, $quota := .Values.catalog.quotas }}
{{- if and (not .devices) (not (hasKey . "claims")) }}{{ fail (printf "catalog.quotas[%d]: bounds neither devices nor claims" $index) }}{{ end }}
{{- range $class, $_ := .devices }}
{{- if not (has $class $classes) }}{{ fail (printf "catalog.quotas[%d]: no plugin in config.backends has the DeviceClass %s; there are %s. If another driver brings it, name it in catalog.otherDeviceClasses" $index $class (join ", " $classes)) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
