-- wrk sends exactly the bytes of a file:  wrk -s wrk.lua URL -- REQUEST-FILE SEED
-- Every run of sixteen '@' in it becomes SEED (eight characters) and a counter, so each request is a new one.
-- Prints the same line as c/load.c.
local MARK = "@@@@@@@@@@@@@@@@"

local function split(text)
   local parts, from = {}, 1
   while true do
      local at = text:find(MARK, from, true)
      if not at then break end
      parts[#parts + 1] = text:sub(from, at - 1)
      from = at + #MARK
   end
   parts[#parts + 1] = text:sub(from)
   return parts
end

function init(args)
   local file = assert(io.open(args[1], "rb"))
   local text, seed, count = file:read("*a"), args[2], 0
   file:close()
   local parts = split(text)
   wrk.format = function() return text end
   -- Only a request that changes gets a request(): without one, wrk sends a constant and never calls Lua.
   if #parts > 1 then
      function request()
         count = count + 1
         return table.concat(parts, seed .. string.format("%08x", count))
      end
   end
end

function done(summary, latency)
   local e = summary.errors
   print(string.format("requests=%d seconds=%.6f connect=%d read=%d status=%d timeout=%d p50_us=%d p99_us=%d max_us=%d",
      summary.requests, summary.duration / 1e6, e.connect, e.read + e.write, e.status, e.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
