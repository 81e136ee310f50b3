{{/*
The catalog: which claim templates are published where. Whatever cannot be fails here, with what to do about it.
*/}}

{{/* The templates that a type of node can have, by name; as JSON, for fromJson. */}}
{{- define "drakit.catalog.templates" -}}
{{- $own := .root.Values.catalog.rendered }}
{{- $file := printf "files/catalog/%s.yaml" .nodeType }}
{{- if $own }}
{{- if not (hasKey $own .nodeType) }}
{{- fail (printf "%s: catalog.rendered has no templates for %s, but for %s; run `drakit template values` with --node %s too" .where .nodeType (keys $own | sortAlpha | join ", ") .nodeType) }}
{{- end }}
{{- get $own .nodeType | toJson }}
{{- else if .root.Files.Get $file }}
{{- .root.Files.Get $file | fromYaml | toJson }}
{{- else }}
{{- $types := list }}
{{- range $path, $_ := .root.Files.Glob "files/catalog/*.yaml" }}
{{- $types = append $types (base $path | trimSuffix ".yaml") }}
{{- end }}
{{- fail (printf "%s: no template is for %s; %s" .where .nodeType (include "drakit.catalog.near" (dict "name" .nodeType "names" $types))) }}
{{- end }}
{{- end }}

{{/* What is said of a name that is none: those that begin alike for longest, else all there are. */}}
{{- define "drakit.catalog.near" -}}
{{- $near := list }}
{{- range $length := untilStep (len .name) 2 -1 }}
{{- if not $near }}
{{- range $.names }}{{ if hasPrefix (trunc $length $.name) . }}{{ $near = append $near . }}{{ end }}{{ end }}
{{- end }}
{{- end }}
{{- if $near }}did you mean {{ $near | sortAlpha | join " or " }}?{{ else }}there are {{ .names | sortAlpha | join ", " }}{{ end }}
{{- end }}

{{/* The names of the DeviceClasses that are known to be there; as JSON, for fromJsonArray. */}}
{{- define "drakit.catalog.deviceClasses" -}}
{{- $known := include "drakit.plugins" . | fromYaml }}
{{- $names := .Values.catalog.otherDeviceClasses }}
{{- range concat (default list .Values.config.backends) (default list .Values.config.extensions) }}
{{- if .deviceClass }}
{{- $names = append $names .deviceClass }}
{{- else }}
{{- range dig .plugin "deviceClasses" list $known }}
{{- $names = append $names .metadata.name }}
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.deviceClasses.additional }}
{{- $names = append $names .name }}
{{- end }}
{{- $names | uniq | toJson }}
{{- end }}

{{/* "yes" if the second of two values has all that the first has. */}}
{{- define "drakit.catalog.within" -}}
{{- $wanted := index . 0 }}
{{- $given := index . 1 }}
{{- if and (kindIs "map" $wanted) (kindIs "map" $given) }}
{{- $missing := list }}
{{- range $key, $value := $wanted }}
{{- if ne "yes" (include "drakit.catalog.within" (list $value (get $given $key))) }}{{ $missing = append $missing $key }}{{ end }}
{{- end }}
{{- if not $missing }}yes{{ end }}
{{- else if eq (toJson $wanted) (toJson $given) }}yes{{ end }}
{{- end }}

{{/* Why nobody's claim of a template could be allocated here; empty if it could. */}}
{{- define "drakit.catalog.lacking" -}}
{{- range $plugin, $options := .template.pluginOptions }}
{{- $set := false }}
{{- range $.root.Values.config.backends }}
{{- if and (eq .plugin $plugin) (eq "yes" (include "drakit.catalog.within" (list $options (default dict .options)))) }}{{ $set = true }}{{ end }}
{{- end }}
{{- if not $set }}it takes the options {{ toJson $options }} of plugin {{ $plugin }}, which config.backends does not have; {{ end }}
{{- end }}
{{- $classes := list }}
{{- range .template.claims }}
{{- range .requests }}{{ $classes = append $classes .exactly.deviceClassName }}{{ end }}
{{- end }}
{{- range $classes | uniq }}
{{- if not (has . $.classes) }}no plugin in config.backends has the DeviceClass {{ . }}; if another driver brings it, name it in catalog.otherDeviceClasses; {{ end }}
{{- end }}
{{- end }}

{{/* The offers with the claims that each comes to, by name; as JSON, for fromJsonArray. */}}
{{- define "drakit.catalog.offers" -}}
{{- $classes := include "drakit.catalog.deviceClasses" . | fromJsonArray }}
{{- $offers := list }}
{{- $taken := dict }}
{{- range $index, $offer := .Values.catalog.offers }}
{{- $where := printf "catalog.offers[%d]" $index }}
{{- if not .namespaces }}{{ fail (printf "%s: namespaces is empty, so nobody would find a template; name those of the practitioners" $where) }}{{ end }}
{{- $templates := include "drakit.catalog.templates" (dict "root" $ "nodeType" .nodeType "where" $where) | fromJson }}
{{- $claims := dict }}
{{- $left := dict }}
{{- range $wanted := default (list "*") .templates }}
{{- $found := include "drakit.catalog.chosen" (dict "root" $ "where" $where "nodeType" $offer.nodeType "wanted" . "templates" $templates) | fromJsonArray }}
{{- $fitting := list }}
{{- $why := "" }}
{{- range $name := $found }}
{{- $template := get $templates . }}
{{- $lacking := include "drakit.catalog.lacking" (dict "root" $ "template" $template "classes" $classes) | trimSuffix "; " }}
{{- if $lacking }}
{{- $why = printf "%s: template %s cannot be had: %s" $where . $lacking }}
{{- $_ := set $left . $lacking }}
{{- else }}
{{- $fitting = append $fitting . }}
{{- range $claim, $devices := $template.claims }}
{{- $called := printf "%s%s%s" $name (default "" $offer.suffix) (trimPrefix $name $claim) }}
{{- if gt (len $called) 63 }}{{ fail (printf "%s: the name %s is longer than 63 characters; take a shorter suffix" $where $called) }}{{ end }}
{{- $_ := set $claims $called (dict "template" $name "title" $template.title "devices" $devices) }}
{{- end }}
{{- end }}
{{- end }}
{{- if not $fitting }}{{ fail $why }}{{ end }}
{{- end }}
{{- range $namespace := uniq .namespaces }}
{{- range $claim, $_ := $claims }}
{{- $key := printf "%s/%s" $namespace $claim }}
{{- if hasKey $taken $key }}{{ fail (printf "%s: namespace %s has a template %s of %s already; give one of the two a suffix" $where $namespace $claim (get $taken $key)) }}{{ end }}
{{- $_ := set $taken $key $where }}
{{- end }}
{{- end }}
{{- $offers = append $offers (dict "nodeType" .nodeType "namespaces" (.namespaces | uniq | sortAlpha) "claims" $claims "left" $left) }}
{{- end }}
{{- toJson $offers }}
{{- end }}

{{/* The names that a name or a pattern of an offer stands for; as JSON, for fromJsonArray. */}}
{{- define "drakit.catalog.chosen" -}}
{{- $pattern := printf "^%s$" (regexQuoteMeta .wanted | replace "\\*" ".*" | replace "\\?" ".") }}
{{- $found := list }}
{{- range keys .templates | sortAlpha }}
{{- if regexMatch $pattern . }}{{ $found = append $found . }}{{ end }}
{{- end }}
{{- if not $found }}
{{- $elsewhere := include "drakit.catalog.elsewhere" . }}
{{- if $elsewhere }}{{ fail (printf "%s: template %s is not for %s, but for %s" .where .wanted .nodeType $elsewhere) }}{{ end }}
{{- fail (printf "%s: there is no template %s for %s; %s" .where .wanted .nodeType (include "drakit.catalog.near" (dict "name" .wanted "names" (keys .templates)))) }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{/* The types of nodes that a template is for. */}}
{{- define "drakit.catalog.elsewhere" -}}
{{- $types := list }}
{{- $wanted := .wanted }}
{{- if .root.Values.catalog.rendered }}
{{- range $type, $templates := .root.Values.catalog.rendered }}
{{- if hasKey $templates $wanted }}{{ $types = append $types $type }}{{ end }}
{{- end }}
{{- else }}
{{- range $path, $text := .root.Files.Glob "files/catalog/*.yaml" }}
{{- if hasKey (toString $text | fromYaml) $wanted }}{{ $types = append $types (base $path | trimSuffix ".yaml") }}{{ end }}
{{- end }}
{{- end }}
{{- $types | sortAlpha | join ", " }}
{{- end }}

{{/* Every namespace that has templates; as JSON, for fromJsonArray. */}}
{{- define "drakit.catalog.namespaces" -}}
{{- $names := list }}
{{- range .Values.catalog.offers }}{{ $names = concat $names .namespaces }}{{ end }}
{{- $names | uniq | sortAlpha | toJson }}
{{- end }}

{{/* "yes" for a namespace that is this release's to make: not for one that somebody else has made. */}}
{{- define "drakit.catalog.makes" -}}
{{- $root := index . 0 }}
{{- $annotations := dict "meta.helm.sh/release-name" $root.Release.Name }}
{{- with lookup "v1" "Namespace" "" (index . 1) }}{{ $annotations = default dict .metadata.annotations }}{{ end }}
{{- if and (ne (index . 1) $root.Release.Namespace) (eq $root.Release.Name (toString (get $annotations "meta.helm.sh/release-name"))) }}yes{{ end }}
{{- end }}

{{/* One ResourceClaimTemplate. */}}
{{- define "drakit.catalog.document" -}}
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata:
  name: {{ .name | quote }}
  namespace: {{ .namespace | quote }}
  labels:
    {{- include "drakit.labels" .root | nindent 4 }}
    drakit/template: {{ .claim.template | quote }}
    {{- with .root.Values.catalog.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    drakit/title: {{ .claim.title | quote }}
    {{- with merge (dict) .annotations .root.Values.catalog.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  metadata:
    labels:
      drakit/template: {{ .claim.template | quote }}
  spec:
    # In one line, as YAML would have large numbers with an exponent.
    devices: {{ toRawJson .claim.devices }}
{{- end }}

{{/* "yes" if the cluster has a template of this release and this name that asks for something else. */}}
{{- define "drakit.catalog.changed" -}}
{{- with lookup "resource.k8s.io/v1" "ResourceClaimTemplate" .namespace .name }}
{{- $release := get (default dict .metadata.annotations) "meta.helm.sh/release-name" }}
{{- if and (eq (toString $release) $.root.Release.Name) (ne (toJson .spec.spec.devices) (toJson $.claim.devices)) }}yes{{ end }}
{{- end }}
{{- end }}

{{/* What the notes say of the templates: where they are, and what "all that fit" leaves out. */}}
{{- define "drakit.catalog.notes" -}}
{{- $offers := include "drakit.catalog.offers" . | fromJsonArray }}
{{- if $offers }}

Practitioners find their claim templates:

     kubectl -n {{ include "drakit.catalog.namespaces" . | fromJsonArray | first }} get resourceclaimtemplates
{{- end }}
{{- range $offers }}
{{- $type := .nodeType }}
{{- range $name, $why := .left }}

{{ $name }} for {{ $type }} is not published: {{ $why }}.
{{- end }}
{{- end }}
{{- end }}
