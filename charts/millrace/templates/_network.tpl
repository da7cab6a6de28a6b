{{/* The ports of Kafka and ClickHouse, as JSON: the operator understands the same object. */}}
{{- define "millrace.networkPolicies" -}}
{{- $kafka := .Values.networkPolicies.kafkaPorts -}}
{{- if not $kafka -}}
{{- range splitList "," .Values.kafka.bootstrapServers -}}
{{- $kafka = append $kafka (regexFind "[0-9]+$" . | int) -}}
{{- end -}}
{{- end -}}
{{- $clickhouse := .Values.networkPolicies.clickhousePorts -}}
{{- if not $clickhouse -}}
{{- $named := regexFind ":[0-9]+/?$" .Values.clickhouse.url | trimPrefix ":" | trimSuffix "/" -}}
{{- $usual := ternary 443 80 (hasPrefix "https://" .Values.clickhouse.url) -}}
{{- $clickhouse = list ($named | default $usual | int) -}}
{{- end -}}
{{- $policies := dict "kafkaPorts" ($kafka | uniq) "clickhousePorts" $clickhouse -}}
{{- with .Values.networkPolicies.monitoringNamespace -}}
{{- $policies = set $policies "monitoringNamespace" . -}}
{{- end -}}
{{- $policies | toJson -}}
{{- end -}}
