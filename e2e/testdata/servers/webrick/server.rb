require "webrick"

server = WEBrick::HTTPServer.new(Port: 8080, AccessLog: [])
server.mount_proc("/") do |_, res|
  res.body = "hello from pid #{Process.pid} (#{ENV["CLUSTERD_APP"]}/#{ENV["CLUSTERD_INSTANCE"]})\n"
end
trap("TERM") { server.shutdown }
server.start
