-- Actions for HAProxy from 2.6 with Lua; `haproxy -vv | grep Lua` says whether it is there.
--   global:    lua-load-per-thread deploymark.lua
--   frontend:  http-request lua.deploymark_edge              requests come from outside
--   frontend:  http-request lua.deploymark_outbound d-…      one deployment calls others

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

local function rewrite(txn, caller)
  local found = txn.http:req_get_headers()["baggage"] or {}
  local lines = {}
  for index = 0, #found do  -- HAProxy counts from 0
    lines[#lines + 1] = found[index]
  end
  local line = replace_upstream(lines, caller)
  txn.http:req_del_header("baggage")
  if line ~= "" then
    txn.http:req_add_header("baggage", line)
  end
end

core.register_action("deploymark_edge", { "http-req" }, function(txn)
  rewrite(txn, nil)
end)

core.register_action("deploymark_outbound", { "http-req" }, rewrite, 1)
