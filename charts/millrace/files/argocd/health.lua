-- The health of an AnalyticsTenant or a Pipeline, for Argo CD: what its conditions say.

local function condition(kind)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, found in ipairs(obj.status.conditions) do
      if found.type == kind then
        return found
      end
    end
  end
  return { status = "Unknown", reason = "", message = "" }
end

local function health(status, told)
  local message = told.message
  if message == "" then
    message = told.reason
  end
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  local blocked = condition("DeletionBlocked")
  if blocked.status == "True" then
    return health("Progressing", blocked)
  end
  return { status = "Progressing", message = "being deleted" }
end

-- Conditions of an older spec say nothing about this one.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not looked at this spec yet" }
end

local stalled = condition("Stalled")
if stalled.status == "True" then
  return health("Degraded", stalled)
end

local ready = condition("Ready")
if ready.status == "True" then
  return health("Healthy", ready)
end
return health("Progressing", ready)
