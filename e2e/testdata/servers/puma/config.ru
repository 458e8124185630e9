run lambda { |_|
  body = "hello from pid #{Process.pid} (#{ENV["CLUSTERD_APP"]}/#{ENV["CLUSTERD_INSTANCE"]})\n"
  [200, { "Content-Type" => "text/plain" }, [body]]
}
