-- A load for wrk that has an end: so many requests of a kind, all of them answered.
-- Then it says so, and is killed. Arguments: the kind, and how many.

local kinds = {
  ["keep-alive"] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  ["close"] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  ["post"] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" .. string.rep("GET / HTTP/1.1\r\n\r\n............", 100),
  ["chunked"] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    .. string.rep("12\r\nGET / HTTP/1.1\r\n\r\n\r\n", 50) .. "0\r\n\r\n",
  ["pipelined"] = string.rep("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 16),
}

local text, each, left, awaited

function init(args)
  text = kinds[args[1]]
  each = args[1] == "pipelined" and 16 or 1
  awaited = tonumber(args[2])
  left = awaited / each
end

function delay()
  if left == 0 then return 1e6 end
  left = left - 1
  return 0
end

function request() return text end

function response(status)
  if status ~= 200 then
    io.write("status ", status, "\n")
  end
  awaited = awaited - 1
  if awaited == 0 then
    io.write("answered\n")
    io.flush()
  end
end
