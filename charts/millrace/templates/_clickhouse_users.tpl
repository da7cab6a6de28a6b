{{/* What holds for the tenants' users, as JSON with whole numbers: Helm reads large ones as 1e+06. */}}
{{- define "millrace.clickhouseUsers" -}}
{{- $reader := dict -}}
{{- range $name, $most := .reader -}}
{{- $reader = set $reader $name (int64 $most) -}}
{{- end -}}
{{- dict "networks" (.networks | default list) "reader" $reader | toJson -}}
{{- end -}}
