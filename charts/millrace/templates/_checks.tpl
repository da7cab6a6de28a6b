{{/* What the schema of the values cannot say: what is required, and what goes together. */}}
{{- define "millrace.checks" -}}
{{- $kafka := .Values.kafka -}}
{{- $clickhouse := .Values.clickhouse -}}
{{- if not $kafka.bootstrapServers -}}
{{- fail "kafka.bootstrapServers is required, for example kafka.example.com:9092" -}}
{{- end -}}
{{- if hasPrefix "SASL_" $kafka.securityProtocol -}}
{{- if not $kafka.sasl.existingSecret -}}
{{- fail (printf "kafka.sasl.existingSecret is required with kafka.securityProtocol %s: a Secret with the user's name and password" $kafka.securityProtocol) -}}
{{- end -}}
{{- else if $kafka.sasl.existingSecret -}}
{{- fail (printf "kafka.sasl.existingSecret is not used with kafka.securityProtocol %s: set SASL_SSL or SASL_PLAINTEXT, or leave it out" $kafka.securityProtocol) -}}
{{- end -}}
{{- if and $kafka.tls.caSecret (not (hasSuffix "SSL" $kafka.securityProtocol)) -}}
{{- fail (printf "kafka.tls.caSecret is not used with kafka.securityProtocol %s: set SSL or SASL_SSL, or leave it out" $kafka.securityProtocol) -}}
{{- end -}}
{{- if gt (int $kafka.minInsyncReplicas) (int $kafka.replicationFactor) -}}
{{- fail "kafka.minInsyncReplicas must not be greater than kafka.replicationFactor, or every write would be refused" -}}
{{- end -}}
{{- if not $clickhouse.url -}}
{{- fail "clickhouse.url is required, for example http://clickhouse.example.com:8123" -}}
{{- end -}}
{{- if not $clickhouse.existingSecret -}}
{{- fail "clickhouse.existingSecret is required: a Secret with the user's name and password" -}}
{{- end -}}
{{- if and $clickhouse.tls.caSecret (not (hasPrefix "https://" $clickhouse.url)) -}}
{{- fail "clickhouse.tls.caSecret is used with an https:// address only: change clickhouse.url, or leave it out" -}}
{{- end -}}
{{- if not $clickhouse.allowSharedCredentials -}}
{{- fail "clickhouse.allowSharedCredentials must be true: each tenant's consumer gets the credential of clickhouse.existingSecret, so whoever reads Secrets in a tenant's namespace can read every tenant's events" -}}
{{- end -}}
{{- $images := .Values.images -}}
{{- range $name := list "operator" "ingester" "consumer" -}}
{{- $host := (index $images $name).repository | splitList "/" | first -}}
{{- if not (or $images.registry (contains "." $host) (contains ":" $host) (eq $host "localhost")) -}}
{{- fail (printf "images.registry is required, for example registry.example.com, or a registry in images.%s.repository" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
