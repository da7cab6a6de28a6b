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
{{- if and (.Values.rbac).aggregate (not (kindIs "slice" $kafka.sourceTopics)) -}}
{{- fail "kafka.sourceTopics is required with rbac.aggregate, for example [shop.*]: whoever may edit a namespace could read every topic of the Kafka user, which [\"*\"] allows in words" -}}
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
{{- if and (ne (default "None" $clickhouse.accessManagement) "Sql") (not $clickhouse.allowSharedCredentials) -}}
{{- fail "clickhouse.allowSharedCredentials must be true, or clickhouse.accessManagement Sql, with which each tenant has users of its own: without those each tenant's consumer gets the credential of clickhouse.existingSecret, so whoever reads Secrets in a tenant's namespace can read every tenant's events" -}}
{{- end -}}
{{- with .Values.plans -}}
{{- range $name, $plan := pick . "free" "paid" -}}
{{- if not $plan.retentionHours -}}
{{- fail (printf "plans.%s.retentionHours is required: a tenant's spec need not say how long events are kept" $name) -}}
{{- end -}}
{{- if and $plan.maxRetentionHours (gt (int64 $plan.retentionHours) (int64 $plan.maxRetentionHours)) -}}
{{- fail (printf "plans.%s.retentionHours must not be greater than plans.%s.maxRetentionHours, or every tenant of the plan would be refused" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $images := .Values.images -}}
{{- range $name := list "operator" "ingester" "consumer" -}}
{{- $host := (index $images $name).repository | splitList "/" | first -}}
{{- if not (or $images.registry (contains "." $host) (contains ":" $host) (eq $host "localhost")) -}}
{{- fail (printf "images.registry is required, for example registry.example.com, or a registry in images.%s.repository" $name) -}}
{{- end -}}
{{- end -}}
{{- $own := include "millrace.labels" . | fromYaml -}}
{{- range $label, $_ := .Values.operator.podLabels -}}
{{- if hasKey $own $label -}}
{{- fail (printf "operator.podLabels must not have %s, which the chart sets itself" $label) -}}
{{- end -}}
{{- end -}}
{{- include "millrace.onlyOperator" . -}}
{{- end -}}

{{/* Two operators that serve one namespace would both own every tenant in it, each with its own Kafka and ClickHouse.
     One that was scaled to zero owns nothing. Rendering without a cluster sees no other. Whoever installs nothing
     that belongs to the cluster need not be allowed to look at what does. */}}
{{- define "millrace.onlyOperator" -}}
{{- $root := . -}}
{{- $api := "rbac.authorization.k8s.io/v1" -}}
{{- $bindings := list -}}
{{- if or (not .Values.watchNamespaces) .Values.crds.install (eq (include "millrace.roles.wanted" .) "yes") -}}
{{- $bindings = (lookup $api "ClusterRoleBinding" "" "").items | default list -}}
{{- end -}}
{{- range .Values.watchNamespaces | default (list "") -}}
{{- $bindings = concat $bindings ((lookup $api "RoleBinding" . "").items | default list) -}}
{{- end -}}
{{- range $bindings -}}
{{- $name := .metadata.name -}}
{{- $labels := .metadata.labels | default dict -}}
{{- $annotations := .metadata.annotations | default dict -}}
{{- $release := printf "%s/%s" (get $annotations "meta.helm.sh/release-namespace") (get $annotations "meta.helm.sh/release-name") -}}
{{- $isOperators := and (eq (get $labels "app.kubernetes.io/part-of") "millrace") (eq (get $labels "app.kubernetes.io/component") "operator") -}}
{{- $isOurs := or (eq $name (include "millrace.clusterName" $root)) (eq $release (printf "%s/%s" $root.Release.Namespace $root.Release.Name)) -}}
{{- if and $isOperators (not $isOurs) -}}
{{- range .subjects -}}
{{- /* An operator's other bindings bear other names, and let it serve nothing. */ -}}
{{- if eq $name (printf "%s-%s" .namespace .name) -}}
{{- $operator := lookup "apps/v1" "Deployment" .namespace .name -}}
{{- if $operator -}}
{{- if gt (int $operator.spec.replicas) 0 -}}
{{- fail (printf "another Millrace operator runs in this cluster, deployment %s in namespace %s, and both would own the same tenants: upgrade that release, or uninstall it or scale it to 0 first, or give each namespaces of its own in watchNamespaces" .name .namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
