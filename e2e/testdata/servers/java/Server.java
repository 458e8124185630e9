import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

class Server {
    public static void main(String[] args) throws Exception {
        var env = System.getenv();
        var body = String.format("hello from pid %d (%s/%s)%n",
                ProcessHandle.current().pid(), env.get("CLUSTERD_APP"), env.get("CLUSTERD_INSTANCE")).getBytes();
        var server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
