{{/* What the operator may do where it serves, and nothing else: no verb on the definitions themselves, no pods, no roles. */}}
{{- define "millrace.operator.rules" -}}
# Tenants are read, and held by a finalizer.
- apiGroups: [analytics.millrace.dev]
  resources: [analyticstenants]
  verbs: [get, list, watch, patch]
# Pipelines too, and a tenant's managed Pipeline is made and deleted.
- apiGroups: [analytics.millrace.dev]
  resources: [pipelines]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [analytics.millrace.dev]
  resources: [analyticstenants/status, pipelines/status]
  verbs: [patch]
# The children, applied on the server's side, which needs create and patch. Those that always belong to their owner
# are deleted by Kubernetes together with it.
- apiGroups: [""]
  resources: [secrets, services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# What an administrator has to know; repeated ones are counted on the first.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
