-- A filter for Envoy: who calls is replaced by the route's word, and removed where it has none.
-- Names itself in routes, as metadata: {"envoy.filters.http.lua": {"deploymark.caller": "d-…"}}

-- Returns one baggage line for all of them, without the member deploymark.upstream, and with ours
-- in front where there is a caller to name. Every other member stays as it was written.
local function replace_upstream(lines, caller)
  local members = {}
  if caller then
    members[1] = "deploymark.upstream=" .. caller
  end
  for member in (table.concat(lines, ",") .. ","):gmatch("([^,]*),") do
    -- Some SDKs decode keys: ours could come as %64eploymark.upstream.
    local key = member:match("^[^=;]*"):gsub("%%(%x%x)", function(hex)
      return string.char(tonumber(hex, 16))
    end)
    local ours = key:match("^[^%w._-]*deploymark%.upstream[^%w._-]*$")
    if not ours and member:match("%S") then
      members[#members + 1] = member
    end
  end
  return table.concat(members, ",")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local lines = {}
  for index = 0, headers:getNumValues("baggage") - 1 do
    lines[#lines + 1] = headers:getAtIndex("baggage", index)
  end
  local line = replace_upstream(lines, handle:metadata():get("deploymark.caller"))
  headers:remove("baggage")
  if line ~= "" then
    headers:add("baggage", line)
  end
end
